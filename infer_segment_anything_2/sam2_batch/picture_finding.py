"""The pictures that a command line names, and what their results are called."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.result_names import result_names
from infer_segment_anything_2.sam2_reading.tiff_files import Georeference

__all__ = ["PictureFile", "find_files", "find_pictures", "is_picture", "picture_endings"]

# What Pillow opens in name only (it needs other programs), and what is no picture at all.
_NO_PICTURES = frozenset(
    {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "PALM", "WMF", "XVTHUMB"}
)
# TIFFs under names of their own.
_TIFF_ENDINGS = frozenset(
    {".btf", ".lsm", ".ndpi", ".ptif", ".ptiff", ".qptiff", ".scn", ".stk", ".svs", ".tf2", ".tf8"}
)


@cache
def picture_endings() -> frozenset[str]:
    """The endings of files that the installed readers can read, such as ".jpg"."""
    Image.init()
    opened = {*Image.OPEN, "MPO"}  # which Pillow opens as the JPEG that it begins with
    pillows = {
        ending
        for ending, name in Image.registered_extensions().items()
        if name in opened and name not in _NO_PICTURES
    }
    return _TIFF_ENDINGS | pillows


@dataclass(frozen=True)
class PictureFile:
    """A picture to work on.

    Attributes:
        path: Where it lies.
        name: Its path below the folder that was named, with "/"; the file's name otherwise.
        result_name: What the names of its results begin with; different for all pictures of a run.
        objects: What is prompted in it, as text of ``input_objects``; None where that is not its
            own but the run's.
        georeference: Where it lies on a map, once it was read; None where it does not say.
    """

    path: Path
    name: str
    result_name: str
    objects: str | None = None
    georeference: Georeference | None = None


def find_pictures(
    named: Sequence[str],
    *,
    out: Path | None = None,
    recursive: bool = False,
    tell: Callable[[str], None] | None = None,
    others: Collection[str] = (),
) -> list[PictureFile]:
    """Finds the pictures that files, folders and patterns name, each once.

    A link is a picture, or a folder, under its own name; two links to one file are two pictures.
    One to nothing is a picture that cannot be read. Hidden files and folders are passed over.

    Args:
        named: Files, folders, or patterns with ``*``, ``?``, ``[...]`` and ``**``. Of folders and
            patterns, those with the ending of a picture are taken, in the order of their names.
        out: Where results go; what lies there is no input of folders and patterns.
        recursive: Take what is below a folder's own folders too.
        tell: Called with one line that says what was no picture, where there was something.
        others: Endings of files that are no pictures and not worth a word.

    Raises:
        ImageError: Nothing was found under one of the names, or results of two pictures would have
            the same name, or results would go into a folder that is searched for pictures.
    """
    found: dict[str, tuple[Path, str]] = {}
    skipped: set[Path] = set()
    for text in named:
        for path, name in _look_up(text, out, skipped, recursive=recursive):
            # Not resolved: a link counts under its own name.
            found.setdefault(os.path.abspath(path), (path, name))  # noqa: PTH100
    skipped = {path for path in skipped if path.suffix.lower() not in others}
    if skipped and tell is not None:
        tell(_skipped_line(skipped))
    paths_and_names = list(found.values())
    return [
        PictureFile(path, name, result_name)
        for (path, name), result_name in zip(
            paths_and_names, result_names([name for _, name in paths_and_names]), strict=True
        )
    ]


def _skipped_line(skipped: set[Path]) -> str:
    endings = ", ".join(sorted({path.suffix.lower() or "no ending" for path in skipped}))
    if len(skipped) == 1:
        return f"1 file is no picture and was skipped: {endings}"
    return f"{len(skipped)} files are no pictures and were skipped: {endings}"


def _look_up(
    text: str, out: Path | None, skipped: set[Path], *, recursive: bool
) -> list[tuple[Path, str]]:
    """The pictures under one name; adds to ``skipped`` what lies there and is none."""
    path = _path_of(text)
    if _is_there(path):
        return [(path, path.name)]
    files = _below(path, recursive)
    outside = sorted((file, name) for file, name in files if not _lies_in(file, out))
    pictures = [(file, name) for file, name in outside if is_picture(file)]
    skipped.update(file for file, _ in outside if not is_picture(file))
    if not pictures and any(is_picture(file) for file, _ in files):
        raise ImageError(
            f"The pictures of {text!r} lie where results shall go, in {out}, and the next run "
            "would take results for pictures; choose another folder for the results."
        )
    if not pictures:
        below = " -r looks in the folders below, too." if path.is_dir() and not recursive else ""
        raise ImageError(
            f"There is no picture {text!r}; give picture files, folders that hold some, or "
            f"patterns such as 'photos/*.jpg' (endings: {', '.join(sorted(picture_endings()))})."
            f"{below}"
        )
    return pictures


def find_files(
    text: str, *, out: Path | None = None, recursive: bool = False
) -> list[tuple[Path, str]]:
    """Finds the files of any kind that a file, a folder or a pattern names.

    Args:
        text: As for :func:`find_pictures`; hidden files are passed over.
        out: Where results go; what lies there is not found by folders and patterns.
        recursive: Take what is below a folder's own folders too.

    Returns:
        Their paths, and their names: the path below the folder that was named, with "/".

    Raises:
        ImageError: It is in the home folder of nobody.
    """
    path = _path_of(text)
    if _is_there(path):
        return [(path, path.name)]
    return sorted(one for one in _below(path, recursive) if not _lies_in(one[0], out))


def _path_of(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~nobody/..."
        raise ImageError(
            f"There is no picture {text!r}: expected the home folder of a user of this machine "
            "behind ~, got an unknown name; write the path out."
        ) from None


def _is_there(path: Path) -> bool:
    """Whether it is a file; also a link to nothing: that it cannot be read shall be said."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _below(path: Path, recursive: bool) -> list[tuple[Path, str]]:
    """The files in a folder, or those that a pattern matches."""
    if path.is_dir():
        files = [(file, file.relative_to(path).as_posix()) for file in _walk(path, recursive)]
    else:
        files = [(file, file.name) for file in _matches(path) if not file.is_dir()]
    return [(file, name) for file, name in files if not file.name.startswith(".")]


def _walk(folder: Path, recursive: bool, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The files of a folder, through links to other folders but not round in a circle."""
    here = folder.resolve()
    if here in above:
        return
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            yield path
        elif recursive and not path.name.startswith("."):
            yield from _walk(path, recursive, (*above, here))


def _matches(pattern: Path) -> Iterator[Path]:
    """What a pattern finds; "**" goes through no link, which may lead round in a circle."""
    if "**" not in pattern.parts:
        yield from map(Path, glob.glob(str(pattern)))  # noqa: PTH207 - absolute ones too
        return
    depth = next(k for k, part in enumerate(pattern.parts) if glob.has_magic(part))
    top = Path(*pattern.parts[:depth])
    for path in top.glob(str(Path(*pattern.parts[depth:]))):
        if not any(part.startswith(".") for part in path.relative_to(top).parts):
            yield path


def is_picture(path: Path) -> bool:
    """Whether a file has the ending of a picture."""
    return _is_there(path) and path.suffix.lower() in picture_endings()


def _lies_in(path: Path, folder: Path | None) -> bool:
    if folder is None:
        return False
    # The link's own place, not that of what it leads to.
    return folder.resolve() in (path.parent.resolve() / path.name).parents
