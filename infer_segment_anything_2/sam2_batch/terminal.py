"""What a terminal shows of a run: bars, lines, warnings."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile

__all__ = ["FrameProgress", "Progress", "duration", "log_shown", "not_shown"]

_LOGGER = logging.getLogger("ikomia.infer_segment_anything_2")


@contextmanager
def log_shown(*, verbose: bool) -> Iterator[None]:
    """Shows the plugin's log on standard error: warnings, and all that it tells if verbose."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    level_before = _LOGGER.level
    _LOGGER.setLevel(logging.INFO if verbose else logging.WARNING)
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level_before)


def duration(seconds: float) -> str:
    """A time as a reader has it, such as "1.2 s" or "2 min 5 s"."""
    if round(seconds) < 60:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds) // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {round(seconds) % 60} s"


class Progress:
    """A bar over the pictures, and one over the steps of the current one, on a terminal only."""

    def __init__(self, picture_count: int, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage = ("", 0)
        hidden = True if quiet else None  # None: hidden where standard error is no terminal
        self._pictures = tqdm(total=picture_count, unit="picture", disable=hidden)
        self._steps = tqdm(total=0, unit="step", leave=False, disable=hidden)

    def __enter__(self) -> Progress:
        """Shows the bars."""
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the bars away."""
        self._steps.close()
        self._pictures.close()

    def begin(self, picture: PictureFile) -> None:
        """Names the picture at hand."""
        self._stage = ("", 0)
        self._pictures.set_description(picture.path.name)

    def end(self) -> None:
        """Counts the picture at hand as done."""
        self._pictures.update()

    def show_stage(self, stage: str, done: int, total: int) -> None:
        """Moves the lower bar: the steps done and in all of a stage of the picture at hand."""
        if self._stage != (stage, total):
            self._stage = (stage, total)
            self._steps.reset(total)
            self._steps.set_description(stage)
        self._steps.update(done - self._steps.n)

    def tell(self, line: str) -> None:
        """Writes a line to standard output, above the bars; not when quiet."""
        if not self._quiet:
            tqdm.write(line, file=sys.stdout)

    def complain(self, line: str) -> None:
        """Writes a line to standard error, above the bars."""
        tqdm.write(line, file=sys.stderr)


class FrameProgress:
    """A bar over the frames of a video with their number per second, on a terminal only.

    Args:
        frame_count: Of the video, None where it does not say.
        quiet: Whether nothing is to be shown.
    """

    def __init__(self, frame_count: int | None, *, quiet: bool) -> None:
        # None: hidden where standard error is no terminal
        self._bar = tqdm(total=frame_count, unit="frame", disable=True if quiet else None)

    def __enter__(self) -> FrameProgress:
        """Shows the bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the bar away."""
        self._bar.close()

    def count(self) -> None:
        """Counts a frame as done; behind the last one, the total grows."""
        self._bar.update()
        if self._bar.total is not None and self._bar.n > self._bar.total:
            self._bar.total = self._bar.n

    def complain(self, line: str) -> None:
        """Writes a line to standard error, above the bar."""
        tqdm.write(line, file=sys.stderr)


def not_shown(_stage: str, _done: int, _total: int) -> None:
    """Stands for a bar that nobody wants to see."""
