"""What a run comes to while it goes on: counts, the bar, and when to stop."""

from __future__ import annotations

import sys
from collections import Counter
from time import monotonic

from tqdm import tqdm

from infer_segment_anything_2.errors import SegmentAnythingError, counted
from infer_segment_anything_2.sam2_batch.cluster.shard_work import ShardDone
from infer_segment_anything_2.sam2_batch.terminal import duration

__all__ = ["Tally", "TooManyFailedError"]

_LEAST_TO_JUDGE = 1000
_MOST_LINES_OF_ERRORS = 20
_COMMONEST = 3
# A worker of which nothing is heard for so many times the longest shard has ended, or died.
_SHARDS_OF_SILENCE = 3
_LEAST_SILENCE_S = 60.0


class TooManyFailedError(SegmentAnythingError):
    """More pictures fail than ``--max-failed`` allows."""


class Tally:
    """Counts what is done, and shows it as one bar; to be entered and left like a file.

    Args:
        n_pictures: How many there are to do.
        max_failed: The share of pictures that may fail.
        quiet: Say nothing but what failed.
        verbose: Say a line for each shard.
    """

    def __init__(self, n_pictures: int, max_failed: float, *, quiet: bool, verbose: bool) -> None:
        self.n_done = 0
        self.n_failed = 0
        self.n_masks = 0
        self._max_failed = max_failed
        self._quiet = quiet
        self._verbose = verbose
        self._kinds: Counter[str] = Counter()
        self._example: dict[str, str] = {}
        self._heard_s: dict[str, float] = {}
        self._longest_shard_s = 0.0
        self._n_lines = 0
        self._begun_s = monotonic()
        # None: hidden where standard error is no terminal.
        self._bar = tqdm(total=n_pictures, unit="picture", disable=True if quiet else None)

    def __enter__(self) -> Tally:
        """Shows the bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the bar away."""
        self._bar.close()

    @property
    def took(self) -> str:
        """How long it has taken, as a reader has it."""
        return duration(monotonic() - self._begun_s)

    @property
    def n_workers(self) -> int:
        """How many workers were heard of lately; those that died count no more."""
        silence_s = max(_LEAST_SILENCE_S, _SHARDS_OF_SILENCE * self._longest_shard_s)
        since_s = monotonic() - silence_s
        return sum(heard_s > since_s for heard_s in self._heard_s.values())

    def show_one(self) -> None:
        """Moves the bar by one picture of a shard that is not yet done."""
        self._bar.update()

    def add(self, done: ShardDone, *, is_shown: bool = False) -> None:
        """Counts a shard.

        Args:
            done: What became of it.
            is_shown: Whether the bar has had its pictures already.

        Raises:
            TooManyFailedError: More failed than may.
        """
        self.n_done += done.n_pictures - done.n_failed
        self.n_failed += done.n_failed
        self.n_masks += done.n_masks
        self._kinds.update(done.kinds)
        self._longest_shard_s = max(self._longest_shard_s, done.seconds)
        if done.worker:  # what had been done before was done by nobody
            self._heard_s[done.worker] = monotonic()
        self._bar.set_postfix(failed=self.n_failed, workers=self.n_workers, refresh=False)
        if not is_shown:
            self._bar.update(done.n_pictures)
        for path, words in done.errors:
            self._complain(path, words)
        if self._verbose and not self._quiet:
            line = f"shard {done.number}: {done.n_pictures - done.n_failed} done"
            tqdm.write(
                f"{line}, {done.n_failed} failed, {counted(done.n_masks, 'mask')}, "
                f"{duration(done.seconds)}",
                file=sys.stdout,
            )
        self._judge()

    def _complain(self, path: str, words: str) -> None:
        self._example.setdefault(words.replace(path, "..."), words)
        self._n_lines += 1
        if self._n_lines <= _MOST_LINES_OF_ERRORS:
            tqdm.write(words if path in words else f"{path}: {words}", file=sys.stderr)
        elif self._n_lines == _MOST_LINES_OF_ERRORS + 1:
            tqdm.write("More failed; the command results --errors lists them.", file=sys.stderr)

    def _judge(self) -> None:
        seen = self.n_done + self.n_failed
        if seen < _LEAST_TO_JUDGE or self.n_failed <= self._max_failed * seen:
            return
        commonest = ", ".join(
            f"{kind} ({count})" for kind, count in self._kinds.most_common(_COMMONEST)
        )
        examples = " ".join(list(self._example.values())[:_COMMONEST])
        raise TooManyFailedError(
            f"{self.n_failed} of {seen} pictures failed, more than --max-failed "
            f"{self._max_failed:.0%} allows, by {commonest}: {examples} What is done stays; put it "
            "right, or allow more, and run the same command again."
        )
