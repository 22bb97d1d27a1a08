"""One picture of a run: read, segmented, written, and what became of it.

This step knows no terminal and no folder, so that whatever hands out pictures can use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infer_segment_anything_2.errors import (
    DeviceError,
    ExportError,
    ImageError,
    PromptError,
    SegmentAnythingError,
)
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_reading.picture_files import read_picture_file
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.segmentation import OnStage, Segmenter

__all__ = ["PictureDone", "segment_picture"]

Write = Callable[[PictureFile, Segmentation], Sequence[Path]]
"""Writes a picture's results and gives their paths; may raise ``ExportError``."""
Check = Callable[[PictureFile], None]
"""Raises ``ExportError`` for a picture whose results could not be written."""

# What one picture can do wrong. Anything else would go wrong with the next one too.
_OF_ONE_PICTURE = (ImageError, PromptError, DeviceError, ExportError)


@dataclass(frozen=True)
class PictureDone:
    """What became of a picture.

    Attributes:
        picture: The picture.
        headline: A few words that say what was found; "" if it failed.
        summary: One line that says what was found and what was dropped; "" if it failed.
        paths: The files and folders that were written, of the best rank; none if it failed.
        notes: One sentence for each thing about the picture or a prompt that the user should know.
        error: Why it failed, None if it is done.
    """

    picture: PictureFile
    headline: str = ""
    summary: str = ""
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    error: SegmentAnythingError | None = None


def segment_picture(
    picture: PictureFile,
    segmenter: Segmenter,
    parameters: Parameters,
    write: Write,
    on_progress: OnStage | None = None,
    check: Check | None = None,
) -> PictureDone:
    """Reads a picture, segments it and writes its results.

    Args:
        picture: Which one.
        segmenter: Keeps the network from picture to picture.
        parameters: Prompts and settings. A picture's own prompts are taken instead of those of
            ``input_objects``; where it has none of its own, nothing is looked for.
        write: Where results go, such as :meth:`.ResultFolder.write`.
        on_progress: Called between steps of work.
        check: Asked when the picture was read, before anything is computed.

    Returns:
        What became of it. That a picture, a prompt on it, the device or its files fail is an
        outcome, not an exception: the next picture may do.

    Raises:
        CheckpointError: The weights are missing or unusable, for every picture.
        DependencyError: A package that the network needs is missing.
        CancelledError: ``on_progress`` raised it.
    """
    try:
        content = read_picture_file(picture.path)
        located = replace(picture, georeference=content.georeference)
        if check is not None:
            check(located)
        if picture.objects is not None:
            parameters = replace(parameters, input_objects=picture.objects)
        found = segmenter.segment(
            content.pixels_hwc,
            parameters,
            on_progress=on_progress,
            only_prompted=picture.objects is not None,
        )
        found = replace(found, notes=(*content.notes, *found.notes))
        paths = write(located, found)
    except _OF_ONE_PICTURE as error:
        return PictureDone(picture, error=error)
    return PictureDone(picture, found.headline, found.summary, tuple(paths), found.notes)
