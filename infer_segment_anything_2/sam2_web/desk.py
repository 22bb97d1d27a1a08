"""The pictures on the page and the work on them; what the server's routes call.

A tab sends parameters, exactly those of Ikomia and the command line, and gets what a run with them
gives: :meth:`Segmenter.segment` is the only way to a mask here too. What a tab shows is its own;
the desk keeps pictures and the network only, so tabs do not disturb each other.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import CancelledError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_reading.picture_files import read_picture_file
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_web.given_parameters import read_given
from infer_segment_anything_2.sam2_web.hints import Hint, find_hint
from infer_segment_anything_2.sam2_web.jobs import Jobs
from infer_segment_anything_2.sam2_web.picture_parts import part_jpeg
from infer_segment_anything_2.sam2_web.remembered import Remembered
from infer_segment_anything_2.sam2_web.video_desk import PageVideo, VideoDesk
from infer_segment_anything_2.sam2_web.workflow_file import write_workflow
from infer_segment_anything_2.segmentation import Segmenter

__all__ = ["Desk", "OpenPicture", "PagePicture", "WriteResults"]

WriteResults = Callable[["PagePicture", Segmentation, Sequence[str]], Sequence[Path]]
"""Writes a picture's results in some formats and gives their paths; may raise ``ExportError``."""

_OPEN_PICTURES = 3
_WORKFLOW_ENDING = "_workflow.json"


@dataclass(frozen=True)
class PagePicture:
    """A picture that the page offers.

    Attributes:
        path: Where it lies.
        name: As the page calls it.
        result_name: What the names of its results begin with.
    """

    path: Path
    name: str
    result_name: str


@dataclass(frozen=True, eq=False)
class OpenPicture:
    """A picture in memory.

    Attributes:
        image_rgb_hwc: Its pixels, uint8.
        notes: What there is to say about the file.
    """

    image_rgb_hwc: npt.NDArray[np.uint8]
    notes: tuple[str, ...]


def _refuse_search(stage: str, done: int, total: int) -> None:
    """Ends a run that needs more than what is kept."""
    if stage == "points" and done < total:
        raise CancelledError("Nothing is kept of this picture.")


class Desk:
    """Pictures, parameters and the network behind one page.

    Args:
        pictures: What is offered.
        parameters: What all runs start from: the flags of the command.
        write_results: Writes the results of a picture; see :data:`WriteResults`.
        folder: Where results go, and what is remembered of each picture.
        videos: What is offered beside the pictures.
        video_parameters: What all runs on videos start from.
    """

    def __init__(
        self,
        pictures: Sequence[PagePicture],
        parameters: Parameters,
        write_results: WriteResults,
        folder: Path,
        videos: Sequence[PageVideo] = (),
        video_parameters: Parameters | None = None,
    ) -> None:
        self.pictures = tuple(pictures)
        self.parameters = parameters
        self.folder = folder
        self.remembered = Remembered(folder)
        self.jobs = Jobs()
        self._write_results = write_results
        self._segmenter = Segmenter(tunes=True)
        self.videos = VideoDesk(videos, video_parameters or parameters, self._segmenter, self.jobs)
        self._open: OrderedDict[int, OpenPicture] = OrderedDict()
        self._lock = Lock()

    def load(self) -> str:
        """Loads the network, fetching it where need be; returns the device that it is on.

        Raises:
            SegmentAnythingError: It cannot be had or used.
        """
        return str(self._segmenter.load(self.parameters).model.device)

    def read(self, given: Mapping[str, object]) -> Parameters:
        """The parameters of a run, from those that a tab has set.

        Raises:
            ParameterError: A name or a value is wrong, or a value is not the page's to choose.
            PromptError: A prompt makes no sense in itself.
        """
        return read_given(given, self.parameters)

    def picture(self, number: int) -> OpenPicture:
        """A picture's pixels; the last few stay in memory.

        Raises:
            ImageError: It cannot be read.
        """
        with self._lock:
            known = self._open.pop(number, None)
            if known is None:
                content = read_picture_file(self.pictures[number].path)
                image_rgb_hwc = to_rgb8(content.pixels_hwc)
                image_rgb_hwc.flags.writeable = False
                known = OpenPicture(image_rgb_hwc, content.notes)
            self._open[number] = known
            while len(self._open) > _OPEN_PICTURES:
                self._open.popitem(last=False)
        return known

    def segment(
        self, number: int, given: Mapping[str, object], job: str
    ) -> tuple[Segmentation, float]:
        """Runs on a picture; returns what came out, and the milliseconds that it took.

        Args:
            number: Of the picture.
            given: The parameters that the tab has set.
            job: The name by which the run can be watched and stopped.

        Raises:
            SegmentAnythingError: Something is wrong, or the run was stopped.
        """
        parameters = self.read(given)
        image_rgb_hwc = self.picture(number).image_rgb_hwc
        began_s = time.perf_counter()
        try:
            found = self._segmenter.segment(
                image_rgb_hwc, parameters, on_progress=self.jobs.watcher(job)
            )
        finally:
            self.jobs.forget(job)
        return found, 1000 * (time.perf_counter() - began_s)

    def hint(self, number: int, given: Mapping[str, object]) -> Hint | None:
        """What to change to see masks, where nothing that was found passes; see ``find_hint``.

        From what the last search on the picture kept: nothing is searched for.

        Args:
            number: Of the picture.
            given: The parameters that the tab has set.

        Raises:
            SegmentAnythingError: Something is wrong.
        """
        image_rgb_hwc = self.picture(number).image_rgb_hwc

        def run(changed: Mapping[str, float]) -> Segmentation:
            parameters = self.read({**given, **changed})
            return self._segmenter.segment(image_rgb_hwc, parameters, on_progress=_refuse_search)

        try:
            return find_hint(run, self.read(given))
        except CancelledError:
            return None

    def write(
        self, number: int, given: Mapping[str, object], formats: Sequence[str], job: str
    ) -> list[str]:
        """Runs on a picture and writes the results; returns the names of what was written.

        Raises:
            SegmentAnythingError: Something is wrong, or cannot be written.
        """
        found, _ = self.segment(number, given, job)
        paths = self._write_results(self.pictures[number], found, formats)
        return [path.name for path in paths]

    def write_workflow(self, result_name: str, parameters: Parameters) -> str:
        """Writes a run as a workflow file into the results' folder; returns its name.

        Args:
            result_name: What the names of the picture's or the video's results begin with.
            parameters: Of the run.

        Raises:
            SegmentAnythingError: The file cannot be written.
        """
        path = self.folder / f"{result_name}{_WORKFLOW_ENDING}"
        write_workflow(parameters, path)
        return path.name

    def part_jpeg(self, number: int, box_xyxy_px: tuple[int, int, int, int], most_px: int) -> bytes:
        """A part of a picture as JPEG, shrunk where its longer side has more than ``most_px``.

        Raises:
            ImageError: It cannot be read.
            ParameterError: The part lies outside.
        """
        return part_jpeg(self.picture(number).image_rgb_hwc, box_xyxy_px, most_px)
