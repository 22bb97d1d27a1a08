"""The bank of real pictures that composites are made of; `python -m training.picture_bank --help`.

Cut-outs are pictures with an alpha channel (photographs and drawings), backgrounds are photographs.
They come from Debian's packages (`fetch_pictures.py`), are shrunk, and lie in one folder as plain
picture files, so that one can look at them:

    bank/photo/*.png  bank/drawn/*.png  bank/background/*.jpg
"""

import argparse
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ByteImage = NDArray[np.uint8]

DEFAULT_FOLDER = Path(__file__).resolve().parent / "pictures" / "bank"
_LONGEST_CUTOUT_PX = 384
_SHORTEST_BACKGROUND_PX = 720
_LEAST_CUTOUT_PX = 48
_OPAQUE = 128
# A cut-out that fills less of its box is a line drawing, one that fills more a framed picture.
_FILL = (0.15, 0.985)
# Of a photograph's opaque pixels at least this share has a colour of its own (of 32 a channel).
_PHOTO_COLOURS = 0.04
# What Pillow raises for damaged files, and for huge ones.
_READING_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class Bank(NamedTuple):
    """Pictures by kind: H x W x 4 cut-outs and H x W x 3 backgrounds, uint8 RGB."""

    photos: list[ByteImage]
    drawings: list[ByteImage]
    backgrounds: list[ByteImage]


@lru_cache(maxsize=1)
def load_bank(folder: Path = DEFAULT_FOLDER) -> Bank:
    """Reads a bank.

    Raises:
        FileNotFoundError: It has not been made; the message says how.
    """
    kinds = []
    for pattern in ("photo/*.png", "drawn/*.png", "background/*.jpg"):
        paths = sorted(folder.glob(pattern))
        if not paths:
            raise FileNotFoundError(
                f"There are no pictures {folder / pattern}; run `make training-pictures`."
            )
        kinds.append([np.asarray(Image.open(path)) for path in paths])
    return Bank(*kinds)


def make_bank(source: Path, folder: Path, drawings: int, seed: int = 0) -> dict[str, int]:
    """Collects cut-outs and backgrounds below a folder of unpacked packages.

    Args:
        source: Where to look.
        folder: Where the bank goes.
        drawings: At most so many drawn cut-outs.
        seed: Of the choice of drawings.

    Returns:
        How many pictures of each kind there are.
    """
    for kind in ("photo", "drawn", "background"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    found = {"photo": 0, "drawn": 0, "background": 0}
    stamps = sorted(source.rglob("stamps/**/*.png"))
    known = set(stamps)
    clip_art = sorted(source.rglob("openclipart/**/*.png"))
    order = np.random.default_rng(seed).permutation(len(clip_art))
    for path in [*stamps, *(clip_art[k] for k in order)]:
        if found["drawn"] >= drawings and path not in known:
            break
        cutout = _cutout(path)
        if cutout is None:
            continue
        kind = "photo" if path in known and _is_photograph(cutout) else "drawn"
        Image.fromarray(cutout).save(folder / kind / f"{found[kind]:04d}.png")
        found[kind] += 1
    for background in _backgrounds(source):
        background.save(folder / "background" / f"{found['background']:04d}.jpg", quality=92)
        found["background"] += 1
    return found


def _cutout(path: Path) -> ByteImage | None:
    """A cut-out cropped to what is opaque and shrunk; None where it is no good one."""
    try:
        picture = Image.open(path).convert("RGBA")
    except _READING_ERRORS:
        return None
    ys, xs = np.nonzero(np.asarray(picture)[..., 3] > _OPAQUE)
    if len(ys) < _LEAST_CUTOUT_PX**2 // 4:
        return None
    picture = picture.crop((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    if max(picture.size) < _LEAST_CUTOUT_PX:
        return None
    picture.thumbnail((_LONGEST_CUTOUT_PX, _LONGEST_CUTOUT_PX), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    fill = float((pixels[..., 3] > _OPAQUE).mean())
    return pixels if _FILL[0] <= fill <= _FILL[1] else None


def _is_photograph(cutout: ByteImage) -> bool:
    opaque = cutout[cutout[..., 3] > _OPAQUE][:, :3] // 8
    colours = np.unique(opaque.astype(np.int64) @ np.array([1, 32, 1024]))
    return len(colours) > _PHOTO_COLOURS * min(len(opaque), 20_000)


def _backgrounds(source: Path) -> Iterator[Image.Image]:
    """One picture of each motif: packages hold many sizes of some."""
    endings = {".jpg", ".jpeg", ".webp", ".png"}
    motifs: dict[Path, Path] = {}
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in endings and path.is_file() and _shows_background(path):
            motif = path.parent.parent if path.parent.name == "images" else path
            largest = motifs.get(motif, path)
            motifs[motif] = max(largest, path, key=lambda file: file.stat().st_size)
    for path in motifs.values():
        try:
            picture = Image.open(path).convert("RGB")
        except _READING_ERRORS:
            continue
        if min(picture.size) < _SHORTEST_BACKGROUND_PX:
            continue
        scale = _SHORTEST_BACKGROUND_PX / min(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        yield picture.resize(size, Image.Resampling.LANCZOS)


def _shows_background(path: Path) -> bool:
    folders = {folder.name for folder in path.parents}
    return bool(folders & {"backgrounds", "wallpapers"}) and path.stem != "screenshot"


def main() -> None:
    """Makes the bank."""
    parser = argparse.ArgumentParser(description="Makes the bank of pictures for composites.")
    parser.add_argument("source", type=Path, help="folder of unpacked packages")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--drawings", type=int, default=1500)
    options = parser.parse_args()
    print(make_bank(options.source, options.folder, options.drawings))


if __name__ == "__main__":
    main()
