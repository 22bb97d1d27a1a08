"""Fetches the pictures of Debian's packages and makes the bank; run by `make training-pictures`.

Nothing is installed: the packages are downloaded and unpacked below `training/pictures/`, which is
not committed. Their copyright files come along (`usr/share/doc/PACKAGE/copyright`).
"""

import subprocess
from pathlib import Path

from training.picture_bank import make_bank

PICTURES = Path(__file__).resolve().parent / "pictures"
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
    """Tells where a package is unpacked; evaluation's lie apart from what the bank is made of."""
    use = "evaluation" if package in EVALUATION_PACKAGES else "training"
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


def main() -> None:
    """Fetches all packages and makes the bank."""
    for package in (*TRAINING_PACKAGES, *EVALUATION_PACKAGES):
        fetch(package, PICTURES)
    print(make_bank(PICTURES / "training", PICTURES / "bank", DRAWINGS))


if __name__ == "__main__":
    main()
