"""Where the tables of a run go: a folder of this machine or of a bucket, with one set of verbs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_results.whole_files import remove_file, write_text, write_whole

__all__ = ["Folder", "LocalFolder", "is_url", "open_folder"]


class Folder(Protocol):
    """A place for files whose names are relative paths with "/"; each is whole or not there."""

    @property
    def place(self) -> str:
        """The folder as a user has to name it."""

    def read(self, name: str) -> bytes | None:
        """The content of a file, None if it is not there."""

    def has(self, name: str) -> bool:
        """Whether a file is there."""

    def names(self, below: str) -> set[str]:
        """The names of the files that lie directly in a folder of it; none if it is not there."""

    def put(self, name: str, file: Path) -> None:
        """Puts a copy of a local file, at once and in the place of an earlier one."""

    def put_text(self, name: str, text: str) -> None:
        """Puts a text as UTF-8, in the same way."""

    def remove(self, name: str) -> None:
        """Removes a file if it is there."""


class LocalFolder:
    """A folder of this machine, or one that machines share.

    Every verb may raise ``ExportError``: the operating system refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self._path)

    def read(self, name: str) -> bytes | None:
        """The content of a file, None if it is not there."""
        try:
            return (self._path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ExportError(
                f"Cannot read {self._path / name}: {error.strerror or error}; make it readable, or "
                "choose another folder."
            ) from error

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self._path / name).is_file()

    def names(self, below: str) -> set[str]:
        """The names of the files that lie directly in a folder of it; none if it is not there."""
        try:
            # What begins with a dot is a file that is being written.
            return {path.name for path in (self._path / below).iterdir() if path.name[:1] != "."}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def put(self, name: str, file: Path) -> None:
        """Puts a copy of a local file, at once and in the place of an earlier one."""
        write_whole(self._path / name, lambda temporary: shutil.copyfile(file, temporary))

    def put_text(self, name: str, text: str) -> None:
        """Puts a text as UTF-8, in the same way."""
        write_text(self._path / name, text)

    def remove(self, name: str) -> None:
        """Removes a file if it is there."""
        remove_file(self._path / name)


def is_url(place: str) -> bool:
    """Whether a place is one such as "s3://bucket/folder" and no path of this machine."""
    return "://" in place


def open_folder(place: str) -> Folder:
    """The folder of a path or of a URL that fsspec knows.

    Raises:
        DependencyError: A package for that kind of URL is missing.
    """
    if not is_url(place):
        return LocalFolder(Path(place))
    from infer_segment_anything_2.sam2_batch.cluster.buckets import BucketFolder

    return BucketFolder(place)
