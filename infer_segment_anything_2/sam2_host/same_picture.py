"""Notices a folder run that gets one picture again and again.

A workflow that was given a picture before (``run_on(array=...)``) keeps it: of a folder that is run
then, the host works on that picture once for each of the folder's files.
"""

from __future__ import annotations

import zlib

import numpy as np
from ikomia import dataprocess

__all__ = ["SamePictures"]

_NOTE = (
    "The picture is the same as in the run before. A workflow that was given one picture goes on "
    "with it when a folder is run, once for each file: make a new Workflow for the folder."
)

# Some lines tell pictures apart, in no time beside a click's.
_LINE_STEP = 16


class SamePictures:
    """Remembers the picture of the run before."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] | None = None

    def note(self, picture_input: dataprocess.CImageIO, *, in_folder: bool) -> str:
        """What is to be said of this run's picture, "" when it is not that of the run before.

        Args:
            picture_input: Holds the picture.
            in_folder: Whether results are saved by themselves, as those of a folder are.
        """
        image = picture_input.get_image()
        if image is None or hasattr(picture_input, "get_current_pos"):
            self._last = None
            return ""
        some_lines = np.ascontiguousarray(image[::_LINE_STEP])
        this = (picture_input.source_file_path, image.shape, zlib.crc32(some_lines.tobytes()))
        is_same, self._last = this == self._last, this
        return _NOTE if is_same and in_folder else ""
