"""What a file is by its first bytes: weights, or what lies there instead of them.

Endings say nothing: people rename files, and what was downloaded is often a page that asks for a
login, or the small text that Git LFS keeps in the place of a large file.
"""

from __future__ import annotations

import pickletools
import struct
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["FileKind", "is_cut_off", "kind_of_file"]

_HEAD_BYTES = 512
_PICKLE = b"\x80"
# What torch.save wrote before 2020: a number, a version, the machine, the content, the tensors'
# names; then the tensors' numbers.
_PICKLES_IN_ROW = 5
_PICKLE_IN_ZIP = "data.pkl"
# What a safetensors file begins with: the length of its header in 8 bytes, then JSON.
_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000
_MAGIC = (
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"BZh", "a bzip2 archive", "Unpack it first."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first."),
    (b"\x89HDF", "an HDF5 file", "Save the weights with torch.save."),
    (b"GGUF", "a GGUF file", "Take Meta's .pt file."),
    (b"\x89PNG", "a PNG picture", "Give the path of the weights."),
    (b"\xff\xd8\xff", "a JPEG picture", "Give the path of the weights."),
    (b"%PDF", "a PDF document", "Give the path of the weights."),
)
_FETCH_AGAIN = "Fetch it again, and look whether the address asks for a login."


class FileKind(NamedTuple):
    """What a file is.

    Attributes:
        format: "torch" or "safetensors" where a reader may try, "" where it need not.
        got: What it is in words, where it is no weights.
        advice: What to do then.
    """

    format: str
    got: str = ""
    advice: str = ""


def kind_of_file(path: Path) -> FileKind:
    """Tells weights from what is none; a file that cannot be told is left to PyTorch's reader.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head:
        return FileKind("", "an empty file", "Fetch or save it again.")
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    if head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and length <= _LONGEST_HEADER:
        return FileKind("safetensors")
    if head.startswith(_PICKLE):
        return FileKind("torch")
    for magic, got, advice in _MAGIC:
        if head.startswith(magic):
            return FileKind("", got, advice)
    by_ending = "safetensors" if path.suffix.lower() == ".safetensors" else "torch"
    return _kind_of_text(head) or FileKind(by_ending)


def is_cut_off(path: Path) -> bool:
    """Whether a file of pickles, one behind the other, ends in the middle of one.

    They are looked through, and nothing of them is run.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on odd texts in spoilt files
        for _ in range(_PICKLES_IN_ROW):
            if not stream.peek(1):
                return False
            try:
                for _ in pickletools.genops(stream):
                    pass
            except (ValueError, IndexError, OverflowError, MemoryError, struct.error):
                return not stream.read(1)
    return False


def _kind_of_zip(path: Path) -> FileKind:
    try:
        if not zipfile.is_zipfile(path):
            return FileKind("", "the beginning of one that was cut off", "Fetch or copy it again.")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return FileKind("torch")  # damaged inside, which the reader tells of
    if any(name.endswith(_PICKLE_IN_ZIP) for name in names):
        return FileKind("torch")
    return FileKind("", "a zip archive of other files", "Unpack it first.")


def _kind_of_text(head: bytes) -> FileKind | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return FileKind(
            "",
            "a Git LFS pointer, the small text that stands in for a large file",
            "Fetch the file itself: git lfs pull, or download it from the web site.",
        )
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return FileKind("", "a web page (HTML)", _FETCH_AGAIN)
    try:
        words = head.decode("ascii")
    except UnicodeDecodeError:
        return None
    if all(letter.isprintable() or letter.isspace() for letter in words):
        return FileKind("", "a text file", _FETCH_AGAIN)
    return None
