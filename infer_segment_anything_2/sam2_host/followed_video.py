"""Frames of the host's videos through the session that follows objects, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ikomia import dataprocess

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.request import objects_of
from infer_segment_anything_2.sam2_following.frame_following import VideoFrame
from infer_segment_anything_2.sam2_following.frame_sequence import Step
from infer_segment_anything_2.sam2_following.masklet_record import MaskletRecord
from infer_segment_anything_2.sam2_following.session import VideoSession
from infer_segment_anything_2.sam2_host.graphics import drawn_prompts, is_fed, mask_prompt
from infer_segment_anything_2.sam2_host.video_input import frame_count, seen_frame
from infer_segment_anything_2.segmentation import OnStage, Segmentation, Segmenter

__all__ = ["FollowedVideo"]

_LOGGER = logging.getLogger("ikomia.infer_segment_anything_2")


class FollowedVideo:
    """One task's videos.

    Args:
        segmenter: Keeps the network.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._session = VideoSession(segmenter)
        self._record = MaskletRecord()

    def follow(
        self,
        picture: dataprocess.CImageIO,
        graphics: dataprocess.CGraphicsInput,
        mask_input: dataprocess.CImageIO,
        values: Parameters,
        on_progress: OnStage,
    ) -> Segmentation:
        """Follows objects into the frame at the inputs.

        Args:
            picture: The frame.
            graphics: What is drawn on it, or what a detector in front found in it.
            mask_input: About where an object is, if there is a picture.
            values: Parameters.
            on_progress: Called between steps of work.

        Raises:
            SegmentAnythingError: The frame, a prompt, the weights, the device or the folder for
                masklets is unusable.
        """
        (image_rgb_hwc, seen), n_frames = seen_frame(picture), frame_count(picture)
        number, step = self._session.number_of(seen), self._session.step(seen)
        image_hw = (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1])
        notes = self._begin(step, seen.source, image_hw, values)
        mask = mask_prompt(mask_input) if number <= values.prompt_frame else None
        frame, more = _frame(values, image_rgb_hwc, n_frames, graphics, mask)
        followed = self._session.follow(seen, frame, values, on_progress)
        self._record.add(number, followed)
        if number + 1 == n_frames:
            _LOGGER.info("Followed objects through all %d frames of %s", n_frames, seen.source)
            notes += self.write()
        found = followed.segmentation
        return replace(found, notes=(*notes, *more, *found.notes))

    def end(self) -> list[str]:
        """Lets the next frame be the first of a video; gives what there is to say."""
        self._session.forget()
        notes = self.write()
        self._record.forget()
        return notes

    def write(self) -> list[str]:
        """Writes the masklets so far, where that is wanted; gives what went wrong."""
        try:
            path = self._record.write()
        except ExportError as error:
            return [str(error)]
        if path is not None:
            _LOGGER.info("Masks of all frames so far are in %s", path)
        return []

    def _begin(
        self, step: Step, source: str, image_hw: tuple[int, int], values: Parameters
    ) -> list[str]:
        if step != "first":
            return []
        notes = self.write()  # of the video before
        _LOGGER.info("Following objects through %s", source or "pictures one by one")
        if values.masklet_folder:
            _make_folder(Path(values.masklet_folder).expanduser())
        self._record.begin(source, values.masklet_folder, image_hw)
        return notes


def _make_folder(folder: Path) -> None:
    """Makes sure of the folder before there is anything to lose.

    Raises:
        ExportError: There is none, and none can be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"masklet_folder cannot be used: expected a folder to write to, got {folder} "
            f"({error.strerror}). Set it to a folder that can be written, or to nothing."
        ) from error


def _frame(
    values: Parameters,
    image_rgb_hwc: npt.NDArray[np.uint8],
    n_frames: int | None,
    graphics: dataprocess.CGraphicsInput,
    mask: npt.NDArray[np.generic] | None,
) -> tuple[VideoFrame, Sequence[str]]:
    """The frame with all that is prompted, and what there is to say of it."""
    image_hw = (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1])
    points, boxes = drawn_prompts(graphics)
    detections = None
    if is_fed(graphics):
        found, _ = objects_of(Parameters(), image_hw, drawn_points=points, drawn_boxes=boxes)
        detections, points, boxes = tuple(found), [], []
    prompts, notes = objects_of(values, image_hw, drawn_points=points, drawn_boxes=boxes, mask=mask)
    return VideoFrame(image_rgb_hwc, tuple(prompts), detections, n_frames), notes
