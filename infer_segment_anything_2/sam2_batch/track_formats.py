"""The formats of ``track``: what they are called, and who writes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infer_segment_anything_2.sam2_batch.track_run import ShowFrame, VideoDone
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.tracking.masklets import Masklets
from infer_segment_anything_2.sam2_reading.video_files import ClipFrame
from infer_segment_anything_2.sam2_results.frame_pictures import (
    MOST_DAVIS_ID,
    check_ids,
    paint_frame,
    remove_davis,
    write_davis_frame,
)
from infer_segment_anything_2.sam2_results.video_writing import opened_video
from infer_segment_anything_2.sam2_results.whole_files import remove_file
from infer_segment_anything_2.video_exports import (
    MOST_MOTS_ID,
    ClipFacts,
    write_boxes,
    write_coco_video,
    write_masklets,
    write_mots,
)

__all__ = ["TRACK_FORMATS", "TrackFormat", "check_formats", "frame_writers", "write_finished"]

_WriteAll = Callable[[Path, Masklets, ClipFacts], None]


@dataclass(frozen=True)
class TrackFormat:
    """One format.

    Attributes:
        ending: Of its file; with "/" a folder.
        words: One line for the help text.
        write: Writes it from all masks at the end; None where frames are written as they come.
        ids: The least and the most object id that it can hold, None for any.
    """

    ending: str
    words: str
    write: _WriteAll | None = None
    ids: tuple[int, int] | None = None

    def remove(self, path: Path) -> None:
        """Removes what is there of it.

        Raises:
            ExportError: A file cannot be removed.
        """
        if not self.ending.endswith("/"):
            remove_file(path)
            return
        remove_davis(path)
        with contextlib.suppress(OSError):  # not there, or other files are
            path.rmdir()


TRACK_FORMATS: dict[str, TrackFormat] = {
    "masklets": TrackFormat(
        "_masklets.json", "SA-V's JSON: run lengths per frame and object", write_masklets
    ),
    "davis": TrackFormat(
        "_davis/",
        "a palette PNG per frame, 0 = background, else the object's id",
        ids=(1, MOST_DAVIS_ID),
    ),
    "coco_video": TrackFormat(
        "_coco_video.json", "YouTube-VIS's JSON: COCO with a list over frames", write_coco_video
    ),
    "mots": TrackFormat(
        "_mots.txt", "MOTS' text: a line per frame and object", write_mots, (0, MOST_MOTS_ID)
    ),
    "overlay": TrackFormat("_overlay.mp4", "the video with the masks painted over it"),
    "csv": TrackFormat("_boxes.csv", "a table of boxes, a row per frame and object", write_boxes),
}
"""By the name that ``--format`` takes."""


def check_formats(formats: Iterable[str], object_ids: Iterable[int]) -> None:
    """Makes sure that all formats can hold the objects.

    Raises:
        ExportError: One cannot.
    """
    ids = list(object_ids)
    for name in formats:
        bounds = TRACK_FORMATS[name].ids
        if bounds is not None:
            check_ids(ids, *bounds, f"The format {name}")


@contextlib.contextmanager
def frame_writers(
    paths: dict[str, Path], done: VideoDone, opacity: float
) -> Iterator[list[ShowFrame]]:
    """Those who write frames as they come, for the wanted formats that do so.

    Args:
        paths: Where each wanted format goes.
        done: What is known of the video; for the objects' names.
        opacity: Of the masks in the overlay.
    """
    with contextlib.ExitStack() as stack:
        writers: list[ShowFrame] = []
        if "davis" in paths:
            folder = paths["davis"]
            remove_davis(folder)
            writers.append(lambda frame, masks: write_davis_frame(folder, frame.number, masks))
        if "overlay" in paths:
            video = stack.enter_context(opened_video(paths["overlay"]))

            def paint(frame: ClipFrame, masks: MaskSet) -> None:
                painted = paint_frame(frame.image_rgb_hwc, masks, done.categories, opacity=opacity)
                video.write(painted, frame.time_s)

            writers.append(paint)
        yield writers


def write_finished(paths: dict[str, Path], done: VideoDone, name: str) -> None:
    """Writes the formats that need all frames at once, from run lengths.

    Raises:
        ExportError: One cannot be written; those before it are there.
    """
    masklets = done.masklets
    facts = ClipFacts(name, done.image_hw, tuple(done.times_s), dict(done.categories))
    for format_name, path in paths.items():
        write = TRACK_FORMATS[format_name].write
        if write is not None:
            write(path, masklets, facts)
