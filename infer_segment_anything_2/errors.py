"""The errors of this plugin, and the words that their messages share.

The hierarchy::

    SegmentAnythingError
    ├── ParameterError         a parameter's name or value              (also a ValueError)
    ├── PromptError            points, boxes, masks, objects            (also a ValueError)
    ├── ImageError             a picture of an unusable type or shape   (also a ValueError)
    ├── CheckpointError        weights
    │   ├── DownloadError      they could not be fetched
    │   ├── DamagedCheckpointError   size, hash or format is wrong
    │   └── MismatchedCheckpointError   tensors fit none of the known networks
    ├── DependencyError        a package is missing or unusable
    ├── DeviceError            a device cannot do the work (memory, kernels)
    ├── ExportError            results cannot be written in the wanted form
    ├── StorageError           a bucket or a shared folder does not answer
    └── CancelledError         a run was stopped on request

The host turns every exception into a ``RuntimeError`` and keeps only the text. So the whole story
is in the message, and its first sentence says what was wrong, what was expected, what was got and
what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "CancelledError",
    "CheckpointError",
    "DamagedCheckpointError",
    "DependencyError",
    "DeviceError",
    "DownloadError",
    "ExportError",
    "ImageError",
    "MismatchedCheckpointError",
    "ParameterError",
    "PromptError",
    "SegmentAnythingError",
    "StorageError",
    "counted",
    "first_line",
    "listed",
    "nearest",
    "quoted",
    "shortened",
]

_LONGEST_QUOTE = 80


class SegmentAnythingError(Exception):
    """Base of every error that this plugin raises on purpose."""


class ParameterError(SegmentAnythingError, ValueError):
    """A parameter is unknown, does not parse, or is out of its range.

    Attributes:
        key: The parameter's name.
        value: The text that was given.
    """

    def __init__(self, message: str, *, key: str = "", value: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.value = value


class PromptError(SegmentAnythingError, ValueError):
    """A prompt does not parse, or means nothing on this picture.

    Attributes:
        key: The parameter that held the prompt, "" when it was drawn.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class ImageError(SegmentAnythingError, ValueError):
    """A picture has a type or shape that cannot be segmented."""


class CheckpointError(SegmentAnythingError):
    """Weights are missing or unusable."""


class DownloadError(CheckpointError):
    """Weights could not be fetched."""


class DamagedCheckpointError(CheckpointError):
    """A weights file is not what it should be: wrong size, wrong hash, unreadable."""


class MismatchedCheckpointError(CheckpointError):
    """The tensors of a weights file fit none of the known networks.

    Attributes:
        missing: Names that the nearest network needs and the file lacks.
        unexpected: Names that the file has and the nearest network does not know.
    """

    def __init__(
        self, message: str, *, missing: tuple[str, ...] = (), unexpected: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.missing = missing
        self.unexpected = unexpected


class DependencyError(SegmentAnythingError, ImportError):
    """A package that the plugin needs is missing or does not work."""


class DeviceError(SegmentAnythingError, RuntimeError):
    """A device cannot do the work: too little memory, or kernels that do not run."""


class ExportError(SegmentAnythingError):
    """Results cannot be written in the wanted form or place."""


class StorageError(SegmentAnythingError):
    """A bucket or a shared folder does not give or take a file, after several tries."""


class CancelledError(SegmentAnythingError):
    """A run was stopped on request; raised between two steps of work."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 300 characters; its type where it has none."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def counted(count: int, noun: str) -> str:
    """Such as "1 mask", "2 masks"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names in a row: at most so many of them, and how many more there are."""
    more = len(names) - most
    shown = ", ".join(shortened(name) for name in names[:most])
    return f"{shown} and {more} more" if more > 0 else shown


def shortened(text: str, longest: int = _LONGEST_QUOTE) -> str:
    """A user's text, at most so many characters of it."""
    return text if len(text) <= longest else text[:longest] + "..."


def quoted(value: object, longest: int = _LONGEST_QUOTE) -> str:
    """A user's value as Python writes it, shortened."""
    if isinstance(value, str):
        return repr(shortened(value, longest))
    try:
        return shortened(repr(value), longest)
    except ValueError:  # Python writes no numbers of thousands of digits
        return f"a {type(value).__name__} with a very long number"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that a misspelt one is most like, "" where none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)), "")
