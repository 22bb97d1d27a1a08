"""Warnings on the user's console.

The host's own handlers send what is below WARNING to standard output and what is above it to
standard error; warnings themselves end in its log file, where nobody looks for "corners swapped".
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys

__all__ = ["Warnings", "show_warnings"]

_logger = logging.getLogger("ikomia.infer_segment_anything_2")
_HANDLER_NAME = "infer_segment_anything_2 warnings"
_NUMBER = re.compile(r"[-+]?\d[\d.e+-]*")


class _WarningsHandler(logging.Handler):
    """Writes warnings to standard error as it is now, which notebooks and tests replace."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.set_name(_HANDLER_NAME)
        self.setFormatter(logging.Formatter("Warning: %(message)s"))
        # Errors come out by the host's own handler.
        self.addFilter(lambda record: record.levelno < logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()


def show_warnings() -> None:
    """Sends the plugin's warnings to the console too; again after a reload, but never twice."""
    for handler in list(_logger.handlers):
        if handler.get_name() == _HANDLER_NAME:
            _logger.removeHandler(handler)
    _logger.addHandler(_WarningsHandler())


class Warnings:
    """Says each thing once: a video has thousands of frames, and a folder of pictures one prompt.

    What is said again goes to the log at a lower level.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def forget(self) -> None:
        """Begins anew: what was said may be said again."""
        self._said.clear()

    def say(self, text: str, *, in_video: bool = False) -> None:
        """Warns, unless the same was said; in a video also unless it differs in numbers only."""
        kind = _NUMBER.sub("#", text) if in_video else text
        level = logging.DEBUG if kind in self._said else logging.WARNING
        self._said.add(kind)
        _logger.log(level, "%s", text)
