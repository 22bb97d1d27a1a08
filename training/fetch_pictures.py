"""Fetches the pictures of Debian's packages, makes the bank and collects photographs.

Run by `make training-pictures`.

Nothing is installed: the packages are downloaded and unpacked below `training/pictures/`, which is
not committed. Their copyright files come along (`usr/share/doc/PACKAGE/copyright`).
"""

import json
import subprocess
from pathlib import Path

from PIL import Image

from training.picture_bank import make_bank

PICTURES = Path(__file__).resolve().parent / "pictures"
# Photographs that a teacher labels (`teacher.py`), beside the bank's backgrounds.
LABELLED_FOLDER = PICTURES / "photographs"
_CHOSEN = Path(__file__).resolve().parent / "photographs" / "for_training.json"
_LONGEST_SIDE_PX = 1024
TRAINING_PACKAGES = (
    "tuxpaint-stamps-default",
    "openclipart-png",
    "gnome-backgrounds",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "lomiri-wallpapers-20.04",
    "ukui-wallpapers",
)
# Training never sees these: their photographs are what it is judged by.
EVALUATION_PACKAGES = ("palapeli-data", "lomiri-wallpapers-16.04")
DRAWINGS = 1500


def unpacked_folder(pictures: Path, package: str) -> Path:
    """Tells where a package is unpacked; others lie apart from what the bank is made of."""
    if package in TRAINING_PACKAGES:
        return pictures / "training" / package
    use = "evaluation" if package in EVALUATION_PACKAGES else "more"
    return pictures / use / package


def fetch(package: str, pictures: Path) -> None:
    """Downloads and unpacks a package, unless that has been done.

    Raises:
        subprocess.CalledProcessError: apt-get or dpkg failed; without lists of packages
            `apt-get update` comes first.
    """
    folder = unpacked_folder(pictures, package)
    if folder.is_dir():
        return
    downloads = pictures / "downloads" / package
    downloads.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", package], cwd=downloads, check=True)
    for archive in downloads.glob("*.deb"):
        folder.mkdir(parents=True)
        subprocess.run(["dpkg", "-x", archive, folder], check=True)


def collect_photographs(pictures: Path, folder: Path) -> int:
    """Copies the photographs that were chosen for training, and the bank's backgrounds, shrunk.

    Args:
        pictures: Where packages are unpacked and the bank lies.
        folder: Where they go, as JPEG files.

    Returns:
        How many there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [
        (package, unpacked_folder(pictures, package) / file)
        for package, files in json.loads(_CHOSEN.read_text()).items()
        for file in files
    ]
    chosen += [("background", path) for path in sorted(pictures.glob("bank/background/*.jpg"))]
    for number, (origin, path) in enumerate(chosen):
        picture = Image.open(path).convert("RGBA")
        on_white = Image.new("RGBA", picture.size, "white")
        on_white.alpha_composite(picture)
        shrunk = on_white.convert("RGB")
        shrunk.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX), Image.Resampling.LANCZOS)
        shrunk.save(folder / f"{number:04d}-{origin}.jpg", quality=92)
    return len(chosen)


def main() -> None:
    """Fetches all packages, makes the bank, collects photographs."""
    photographs = tuple(json.loads(_CHOSEN.read_text()))
    for package in (*TRAINING_PACKAGES, *photographs, *EVALUATION_PACKAGES):
        fetch(package, PICTURES)
    print(make_bank(PICTURES / "training", PICTURES / "bank", DRAWINGS))
    print(f"{collect_photographs(PICTURES, LABELLED_FOLDER)} photographs")


if __name__ == "__main__":
    main()
