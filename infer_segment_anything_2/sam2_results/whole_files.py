"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infer_segment_anything_2.errors import ExportError

__all__ = ["remove_file", "write_json", "write_text", "write_whole"]

# The temporary name is a little longer than the wanted one; this keeps it within file systems' 255.
_LONGEST_STEM = 100


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a file beside the wanted one, then puts it in its place at once.

    Folders on the way are made. After any failure the wanted file is as it was before.

    Raises:
        ExportError: The operating system refuses, or the disk is full.
    """
    temporary = path.with_name(f".{path.name[:_LONGEST_STEM]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8, line ends as given; see :func:`write_whole`."""
    write_whole(path, lambda file: file.write_bytes(text.encode()))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes strict JSON; see :func:`write_whole`."""
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


def remove_file(path: Path) -> None:
    """Removes a file if it is there.

    Raises:
        ExportError: The operating system refuses.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> ExportError:
    reason = error.strerror or str(error)
    return ExportError(
        f"Cannot write {path}: {reason}; choose a folder that can be written to and has space."
    )
