"""What the results of pictures are called, so that no two files of a run have one name.

A picture's results are named after it, without its ending. Whatever that would make meet keeps the
ending ("cat_png"), and if that does not help gets a number ("cat_2").
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.formats import FORMATS

__all__ = [
    "CLASSES_NAME",
    "DATASET_NAME",
    "DONE_NAME",
    "RANK_ENDINGS",
    "SETTINGS_NAME",
    "TakenNames",
    "result_names",
]

# The files of the run itself.
SETTINGS_NAME = "sam2_settings.json"
DONE_NAME = "sam2_done.jsonl"
CLASSES_NAME = "data.yaml"
DATASET_NAME = "dataset.json"

RANK_ENDINGS = ("", "_rank2", "_rank3")

_ENDINGS = tuple(
    dict.fromkeys(
        rank + kind.ending.rstrip("/") for kind in FORMATS.values() for rank in RANK_ENDINGS
    )
)


class TakenNames:
    """The names in a folder of results that are taken, as the pickiest file system sees them.

    Args:
        files: Paths in the folder, with "/", that are no results of pictures.
    """

    def __init__(self, files: Iterable[str] = ()) -> None:
        self._paths: set[str] = set()
        self._folders: set[str] = set()
        for file in (SETTINGS_NAME, DONE_NAME, CLASSES_NAME, DATASET_NAME, *files):
            self._add(_key(file))

    def take(self, result_name: str) -> None:
        """Keeps all files free that results of this name may ever have."""
        for path in _paths_of(result_name):
            self._add(path)

    def take_others(self, folder: Path, below: Iterable[str], own: Iterable[str]) -> None:
        """Keeps what lies in a folder of results and is none.

        Args:
            folder: The folder of results.
            below: The folders in it that new results may go to, with "/"; "" is itself.
            own: The names of results that are there.
        """
        results = {path for name in own for path in _paths_of(name)}
        for place in below:
            for entry in _entries(folder / place):
                path = _key(f"{place}/{entry.name}" if place else entry.name)
                if path in results:
                    continue
                if entry.is_dir():  # which results may be in, but not replace
                    self._folders.add(path)
                else:
                    self._add(path)

    def is_free(self, result_name: str) -> bool:
        """Whether results of this name would meet none that is taken, in any format."""
        paths = _paths_of(result_name)
        if any(path in self._paths or path in self._folders for path in paths):
            return False
        return self._paths.isdisjoint(_folders_above(paths[0]))

    def choose(self, picture_name: str, *, first: str = "") -> str:
        """Takes the first free name for the results of a picture.

        Args:
            picture_name: Its path below the folder that was named, with "/".
            first: What is better than any other if it is free.
        """
        candidates = itertools.chain([first] if first else [], _candidates(picture_name))
        chosen = next(filter(self.is_free, candidates))
        self.take(chosen)
        return chosen

    def _add(self, path: str) -> None:
        self._paths.add(path)
        self._folders.update(_folders_above(path))


def result_names(picture_names: Sequence[str]) -> list[str]:
    """Chooses names for the results of a run's pictures.

    Args:
        picture_names: Paths below the folder that was named, with "/".

    Raises:
        ImageError: Two pictures have the same path: they come from different folders.
    """
    stems = Counter(_key(_stem(name)) for name in picture_names)
    twice = [name for name, count in Counter(picture_names).items() if count > 1]
    if twice:
        raise ImageError(
            f"The results of several pictures would all be named {_with_ending(twice[0])!r}; name "
            "the folder that holds them, with --recursive, or give them other folders for results."
        )
    taken = TakenNames()
    return [
        taken.choose(name, first=_with_ending(name) if stems[_key(_stem(name))] > 1 else "")
        for name in picture_names
    ]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:  # not there yet
        return []


def _candidates(picture_name: str) -> Iterator[str]:
    """Names for results, the plainest first; there is no last one."""
    stem = _stem(picture_name)
    yield stem
    yield _with_ending(picture_name)
    for number in itertools.count(2):
        yield f"{stem}_{number}"
        if "/" in stem:  # a folder of the picture may have the name of a result
            yield f"{stem.replace('/', '_')}_{number}"


def _stem(picture_name: str) -> str:
    # As text: a Path would take the name "..png" for the folder it lies in.
    folder, slash, file = picture_name.rpartition("/")
    return folder + slash + PurePosixPath(file).stem


def _with_ending(picture_name: str) -> str:
    ending = PurePosixPath(picture_name.rpartition("/")[2]).suffix.removeprefix(".")
    return f"{_stem(picture_name)}_{ending}" if ending else _stem(picture_name)


def _paths_of(result_name: str) -> list[str]:
    folder, slash, file = result_name.rpartition("/")
    beginning = _key(folder) + slash + _folded(file)
    return [beginning + ending for ending in _ENDINGS]


def _folders_above(path: str) -> list[str]:
    return [path[:end] for end, character in enumerate(path) if character == "/"]


def _key(path: str) -> str:
    """Equal for names that some file system takes for one: case, accents, dots at the end."""
    return "/".join(part.rstrip(". ") for part in _folded(path).split("/"))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
