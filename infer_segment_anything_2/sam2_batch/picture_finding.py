"""The pictures that a command line names, and what their results are called."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.result_names import result_names

__all__ = ["PICTURE_ENDINGS", "PictureFile", "find_pictures"]

PICTURE_ENDINGS = frozenset(
    {".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class PictureFile:
    """A picture to work on.

    Attributes:
        path: Where it lies.
        name: Its path below the folder that was named, with "/"; the file's name otherwise.
        result_name: What the names of its results begin with; different for all pictures of a run.
        objects: What is prompted in it, as text of ``input_objects``; None where that is not its
            own but the run's.
    """

    path: Path
    name: str
    result_name: str
    objects: str | None = None


def find_pictures(
    named: Sequence[str], *, out: Path | None = None, recursive: bool = False
) -> list[PictureFile]:
    """Finds the pictures that files, folders and patterns name, each once.

    Args:
        named: Files, folders, or patterns with ``*``, ``?``, ``[...]`` and ``**``. Of folders and
            patterns, those with the ending of a picture are taken, in the order of their names.
        out: Where results go; what lies there is no input of folders and patterns.
        recursive: Take what is below a folder's own folders too.

    Raises:
        ImageError: Nothing was found under one of the names, or results of two pictures would have
            the same name, or results would go into a folder that is searched for pictures.
    """
    found: dict[Path, str] = {}
    for text in named:
        for path, name in _look_up(text, out, recursive=recursive):
            found.setdefault(path.resolve(), name)
    return [
        PictureFile(path, name, result_name)
        for (path, name), result_name in zip(
            found.items(), result_names(list(found.values())), strict=True
        )
    ]


def _look_up(text: str, out: Path | None, *, recursive: bool) -> list[tuple[Path, str]]:
    path = Path(text).expanduser()
    if path.is_file():
        return [(path, path.name)]
    if path.is_dir():
        candidates = path.rglob("*") if recursive else path.iterdir()
        found = [(file, file.relative_to(path).as_posix()) for file in candidates]
    else:
        files = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute ones too
        found = [(file, file.name) for file in files]
    pictures = sorted((file, name) for file, name in found if _is_picture(file))
    outside = [(file, name) for file, name in pictures if not _lies_in(file, out)]
    if pictures and not outside:
        raise ImageError(
            f"The pictures of {text!r} lie where results shall go, in {out}, and the next run "
            "would take results for pictures; choose another folder for the results."
        )
    if not outside:
        raise ImageError(
            f"There is no picture {text!r}; give picture files, folders that hold some, or "
            f"patterns such as 'photos/*.jpg' (endings: {', '.join(sorted(PICTURE_ENDINGS))})."
        )
    return outside


def _is_picture(path: Path) -> bool:
    visible = not path.name.startswith(".")
    return visible and path.suffix.lower() in PICTURE_ENDINGS and path.is_file()


def _lies_in(path: Path, folder: Path | None) -> bool:
    return folder is not None and folder.resolve() in path.resolve().parents
