"""The pictures of a run: found once, and fetched one by one where the work is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infer_segment_anything_2.errors import ImageError, StorageError
from infer_segment_anything_2.sam2_batch.cluster.folders import is_url
from infer_segment_anything_2.sam2_batch.picture_finding import find_pictures, picture_endings

__all__ = ["SourcePicture", "fetched", "find_sources"]


@dataclass(frozen=True)
class SourcePicture:
    """A picture of a run.

    Attributes:
        path: Its absolute path or its URL; what it is known by.
        name: Its path below the folder that was named, with "/"; the file's name otherwise.
        version: What differs when its content does, "" where that is not known.
        objects: What is prompted in it, as text of ``input_objects``; None where that is the run's.
    """

    path: str
    name: str
    version: str = ""
    objects: str | None = None


def find_sources(
    named: Sequence[str], *, out: str, recursive: bool, tell: Callable[[str], None]
) -> list[SourcePicture]:
    """Finds the pictures that paths, patterns and URLs name, each once.

    Args:
        named: Files, folders and patterns, of this machine or of a bucket.
        out: Where results go; what lies there is no input.
        recursive: Take what is below a folder's own folders too.
        tell: Called with a line that says what was no picture.

    Raises:
        ImageError: Nothing was found under one of the names.
        StorageError: A bucket does not answer.
        DependencyError: A package for a kind of URL is missing.
    """
    found: dict[str, SourcePicture] = {}
    for text in named:
        if is_url(text):
            pictures = _in_bucket(text, out, recursive=recursive)
        else:
            pictures = _on_disk(text, out, recursive=recursive, tell=tell)
        for picture in pictures:
            found.setdefault(picture.path, picture)
    return list(found.values())


def fetched(picture: SourcePicture, into: Path, *, as_planned: bool = True) -> Path:
    """Gives a local file with a picture's content.

    Args:
        picture: Which one.
        into: A folder for a copy of what does not lie on this machine.
        as_planned: Refuse a picture that has changed since it was found.

    Returns:
        The file; it is a copy if it lies in ``into``.

    Raises:
        ImageError: The picture is not there any more, or has changed.
        StorageError: A bucket does not answer.
    """
    try:
        if as_planned and picture.version:
            now = _version_of(picture.path)
            if now != picture.version:
                raise ImageError(
                    f"{picture.path} has changed since this run was planned (size and time or tag "
                    f"were {picture.version!r} and are {now!r}); run the same command with "
                    "--retry-failed to take it as it is now."
                )
        if not is_url(picture.path):
            return Path(picture.path)
        from infer_segment_anything_2.sam2_batch.cluster.buckets import fetch_object

        copy = into / picture.path.rpartition("/")[2]
        fetch_object(picture.path, copy)
    except FileNotFoundError as error:
        raise StorageError(
            f"{picture.path} is not there any more, or this machine does not see it; put it back, "
            "and run the same command with --retry-failed."
        ) from error
    except OSError as error:
        raise StorageError(
            f"{picture.path} cannot be read: {error.strerror or error}; look at the disk or the "
            "connection, and run the same command with --retry-failed."
        ) from error
    return copy


def _on_disk(
    text: str, out: str, *, recursive: bool, tell: Callable[[str], None]
) -> list[SourcePicture]:
    local_out = None if is_url(out) else Path(out)
    pictures = []
    for picture in find_pictures([text], out=local_out, recursive=recursive, tell=tell):
        path = os.path.abspath(picture.path)  # noqa: PTH100 - a link is known by its own place
        version = _version_of(path) if picture.path.exists() else ""
        pictures.append(SourcePicture(path, picture.name, version))
    return pictures


def _in_bucket(url: str, out: str, *, recursive: bool) -> list[SourcePicture]:
    from infer_segment_anything_2.sam2_batch.cluster.buckets import list_objects

    outside = out.rstrip("/") + "/"
    pictures = [
        SourcePicture(path, name, version)
        for path, name, version in list_objects(url, recursive=recursive)
        if not path.startswith(outside) and _may_be_picture(name)
    ]
    if not pictures:
        below = "" if recursive else " -r looks in the folders below, too."
        raise ImageError(
            f"There is no picture {url!r}; give the address of a picture, of a folder that holds "
            f"some, or a pattern such as 's3://bucket/photos/*.jpg'.{below}"
        )
    return pictures


def _may_be_picture(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return not hidden and Path(parts[-1]).suffix.lower() in picture_endings()


def _version_of(path: str) -> str:
    if is_url(path):
        from infer_segment_anything_2.sam2_batch.cluster.buckets import version_of_object

        return version_of_object(path)
    status = Path(path).stat()
    return f"{status.st_size} {status.st_mtime_ns}"
