"""Pictures and folders in buckets (``s3://``, ``gs://``, ...), through fsspec."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from infer_segment_anything_2.errors import DependencyError, StorageError, first_line

__all__ = ["BucketFolder", "fetch_object", "list_objects", "version_of_object"]

Value = TypeVar("Value")

# Waits before the second and the third try; the stores' own clients try a few times as well.
_WAITS_S = (0.5, 2.0)


class BucketFolder:
    """A folder of a bucket; see :class:`.folders.Folder`.

    Every verb may raise ``StorageError``: the store did not do it in three tries.

    Args:
        url: Such as "s3://bucket/run1".
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._files = _file_system(_scheme(url))

    @property
    def place(self) -> str:
        """The folder's URL."""
        return self._url

    def read(self, name: str) -> bytes | None:
        """The content of an object, None if it is not there."""
        try:
            content: bytes = _tried(lambda: self._files.cat_file(self._at(name)), self._at(name))
        except FileNotFoundError:
            return None
        return content

    def has(self, name: str) -> bool:
        """Whether an object is there."""
        try:
            _tried(lambda: self._files.info(self._at(name)), self._at(name))
        except FileNotFoundError:
            return False
        return True

    def names(self, below: str) -> set[str]:
        """The names of the objects directly in a folder of it; none if it is not there."""
        at = self._at(below)
        try:
            paths = _tried(lambda: self._files.ls(at, detail=False), at)
        except FileNotFoundError:
            return set()
        return {path.rstrip("/").rpartition("/")[2] for path in paths}

    def put(self, name: str, file: Path) -> None:
        """Uploads a local file; an upload is seen when it is whole."""
        self._write(name, lambda: self._files.put_file(str(file), self._at(name)))

    def put_text(self, name: str, text: str) -> None:
        """Uploads a text as UTF-8."""
        self._write(name, lambda: self._files.pipe_file(self._at(name), text.encode()))

    def remove(self, name: str) -> None:
        """Removes an object if it is there."""
        with contextlib.suppress(FileNotFoundError):
            _tried(lambda: self._files.rm_file(self._at(name)), self._at(name))

    def _write(self, name: str, action: Callable[[], object]) -> None:
        try:
            _tried(action, self._at(name))
        except FileNotFoundError as error:
            raise StorageError(
                f"The bucket of {self._url} must be there before a run, got none of that name "
                f"({first_line(error)}); make it, or correct the address."
            ) from error

    def _at(self, name: str) -> str:
        return f"{self._url}/{name}"


def list_objects(url: str, *, recursive: bool) -> list[tuple[str, str, str]]:
    """Lists what an object's URL, a folder's or a pattern names.

    Args:
        url: Such as "s3://bucket/photos", "s3://bucket/photos/**/*.jpg".
        recursive: Take what is in a folder's own folders too.

    Returns:
        For each object its URL, its path below the folder (the name alone otherwise), and its
        version; in the order of the URLs.

    Raises:
        StorageError: The store does not answer.
    """
    scheme = _scheme(url)
    files = _file_system(scheme)
    top = url.rstrip("/")
    try:
        if any(sign in url for sign in "*?["):
            found = _tried(lambda: files.glob(top, detail=True), url)
        elif _tried(lambda: files.isfile(top), url):
            found = {top: _tried(lambda: files.info(top), url)}
        else:
            depth = None if recursive else 1
            found = _tried(lambda: files.find(top, maxdepth=depth, detail=True), url)
    except FileNotFoundError:
        return []
    root = files._strip_protocol(top).rstrip("/") + "/"
    rows = []
    for path, facts in found.items():
        plain = files._strip_protocol(path)
        if facts.get("type") == "file":
            name = plain.removeprefix(root) if plain.startswith(root) else plain.rpartition("/")[2]
            rows.append((f"{scheme}://{plain}", name, _version(facts)))
    return sorted(rows)


def version_of_object(url: str) -> str:
    """What differs when an object's content does: its size, and its tag if it has one.

    Raises:
        FileNotFoundError: It is not there.
        StorageError: The store does not answer.
    """
    files = _file_system(_scheme(url))
    return _version(_tried(lambda: files.info(url), url))


def fetch_object(url: str, path: Path) -> None:
    """Copies an object to a local file.

    Raises:
        FileNotFoundError: It is not there.
        StorageError: The store does not answer.
    """
    files = _file_system(_scheme(url))
    path.write_bytes(_tried(lambda: files.cat_file(url), url))


def _scheme(url: str) -> str:
    return url.partition("://")[0]


@cache
def _file_system(scheme: str) -> Any:
    try:
        # What lists a folder must see what was put there a moment ago, by whomever.
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(scheme, scheme)
        raise DependencyError(
            f"Files at {scheme}:// need a package that is not installed ({first_line(error)}); "
            f"run: pip install {package}"
        ) from error
    except ValueError as error:
        raise StorageError(
            f"Files at {scheme}:// are of no known kind, expected s3://, gs:// or another that "
            f"fsspec knows, got: {first_line(error)}; correct the address."
        ) from error


def _version(facts: Mapping[str, Any]) -> str:
    # Times are told in one way by lists and in another by single answers.
    tag = facts.get("ETag") or facts.get("etag") or ""
    return f"{facts.get('size')} {str(tag).strip(chr(34))}"


def _tried(action: Callable[[], Value], place: str) -> Value:
    """Does something up to three times; what is not there, or not allowed, is no passing fault."""
    for wait_s in (*_WAITS_S, None):
        try:
            return action()
        except FileNotFoundError:
            raise
        except Exception as error:
            if wait_s is None or isinstance(error, PermissionError):
                raise StorageError(
                    f"The store does not give or take {place}: {first_line(error)}; look at its "
                    "address, at your credentials and at the connection, and run the same command "
                    "again."
                ) from error
            time.sleep(wait_s)
    raise AssertionError
