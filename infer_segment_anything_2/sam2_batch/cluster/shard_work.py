"""One shard: read ahead, segment, collect, write. Knows no engine that hands out the work."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.errors import (
    DependencyError,
    DeviceError,
    ImageError,
    SegmentAnythingError,
    StorageError,
)
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.cluster.attempts import Attempts
from infer_segment_anything_2.sam2_batch.cluster.folders import open_folder
from infer_segment_anything_2.sam2_batch.cluster.run_settings import check_machine
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan, Shard
from infer_segment_anything_2.sam2_batch.cluster.shard_tables import (
    MASKS,
    PICTURES,
    PictureRow,
    ShardWriter,
    mask_rows,
    read_rows,
)
from infer_segment_anything_2.sam2_batch.cluster.sources import SourcePicture, fetched
from infer_segment_anything_2.sam2_batch.folder_run import PictureDone, segment_picture
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.segmentation import Segmenter, precision_in_words

__all__ = ["BrokenProcessError", "Order", "ShardDone", "ShardWorker"]

OnPicture = Callable[[PictureRow], None]

_READ_AHEAD = 4
_ERRORS_TOLD = 5
# A process whose device fails so often in a row, and did not before, is broken for good.
_DEVICE_FAILURES_IN_A_ROW = 3
# That so many pictures, drawn from everywhere by a hash, are all gone is no chance.
_LEAST_OF_A_LOST_SHARD = 10


class BrokenProcessError(DeviceError):
    """The device works for nobody in this process any more; a new process may do."""


@dataclass(frozen=True)
class Order:
    """What every worker of a run has to know.

    Attributes:
        out: The run's folder, a path or a URL.
        parameters: Prompts and settings.
        settings: Their digest.
        weights_sha256: Of the weights that are to be used.
        retry_failed: Do the failed pictures of shards that are done again, and only these.
        plugin_version: Of whoever gave the order.
    """

    out: str
    parameters: Parameters
    settings: str
    weights_sha256: str
    retry_failed: bool = False
    plugin_version: str = __version__


@dataclass(frozen=True)
class ShardDone:
    """What became of a shard, in JSON types.

    Attributes:
        number: Its number.
        n_pictures: How many pictures were done or failed now; 0 if it had been done before.
        n_failed: How many of them failed.
        n_masks: How many masks they have.
        seconds: How long it took.
        worker: Who did it.
        kinds: How often pictures failed in which way.
        errors: The path and the sentence of some failed pictures.
    """

    number: int
    n_pictures: int = 0
    n_failed: int = 0
    n_masks: int = 0
    seconds: float = 0.0
    worker: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)


class ShardWorker:
    """Does shards, and keeps the network from one to the next.

    Args:
        order: Of the run.

    Raises:
        DependencyError: This machine has another version of the plugin, or no package for the
            folder's kind of URL.
    """

    def __init__(self, order: Order) -> None:
        if order.plugin_version != __version__:
            raise DependencyError(
                f"All machines of a run need the same version of this package, expected "
                f"{order.plugin_version}, got {__version__} on {socket.gethostname()}; install it "
                "there."
            )
        self._order = order
        self._folder = open_folder(order.out)
        self._plan = Plan(self._folder)
        self._segmenter = Segmenter(asks_again=False)
        self._failures_in_a_row: list[str] = []
        self._has_worked = False

    def do(self, shard: Shard, on_picture: OnPicture | None = None) -> ShardDone:
        """Does a shard that is not done, or in a run with ``retry_failed`` what failed in it.

        Args:
            shard: Which one.
            on_picture: Called with what became of each picture.

        Raises:
            BrokenProcessError: A new process has to go on.
            SegmentAnythingError: What would go wrong with every picture.
        """
        begun_s = time.monotonic()
        is_done = self._folder.has(f"{PICTURES}/{shard.file_name}")
        if is_done and not self._order.retry_failed:
            return ShardDone(shard.number)
        self._check_machine()
        attempts = Attempts(self._folder, shard)
        attempts.begin()
        try:
            rows = self._segmented(shard, attempts, on_picture, is_done=is_done)
        except BrokenProcessError:
            raise  # as a death: the note stays
        except BaseException:
            attempts.end()
            raise
        attempts.end()
        failed = [row for row in rows if row.error is not None]
        return ShardDone(
            number=shard.number,
            n_pictures=len(rows),
            n_failed=len(failed),
            n_masks=sum(row.n_masks for row in rows),
            seconds=time.monotonic() - begun_s,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            kinds=dict(Counter(row.error_kind or "" for row in failed)),
            errors=[(row.path, row.error or "") for row in failed[:_ERRORS_TOLD]],
        )

    def _check_machine(self) -> None:
        model = self._segmenter.load(self._order.parameters).model
        if model.digest != self._order.weights_sha256:
            raise DependencyError(
                f"All machines of a run need the same weights, expected those with the SHA-256 "
                f"{self._order.weights_sha256}, got {model.digest} on {socket.gethostname()}; copy "
                "them there."
            )
        machine = {
            "device": model.device.type,
            "precision": precision_in_words(model),
            "weights_sha256": model.digest,
        }
        check_machine(self._folder, machine)

    def _segmented(
        self, shard: Shard, attempts: Attempts, on_picture: OnPicture | None, *, is_done: bool
    ) -> list[PictureRow]:
        """Does the pictures and writes both files; gives the rows that are new."""
        pictures = self._plan.pictures_of(shard)
        kept, masks_of = self._kept(shard) if is_done else ({}, {})
        new_rows = []
        with (
            tempfile.TemporaryDirectory(prefix="sam2_shard_") as temporary,
            ShardWriter(Path(temporary), shard, self._order.settings) as writer,
        ):
            undone = [picture for picture in pictures if picture.path not in kept]
            results = self._results(undone, Path(temporary), attempts)
            for picture in pictures:
                if picture.path in kept:
                    writer.add(kept[picture.path], masks_of[picture.path])
                    continue
                row, masks = next(results)
                new_rows.append(row)
                writer.add(row, masks)
                if on_picture is not None:
                    on_picture(row)
            _check_storage(new_rows)
            writer.put(self._folder)
        return new_rows

    def _kept(self, shard: Shard) -> tuple[dict[str, PictureRow], dict[str, list[dict[str, Any]]]]:
        """The rows of a done shard that did not fail."""
        kept = {}
        for row in read_rows(self._folder, PICTURES, shard.file_name):
            if row["error"] is None:
                image_hw = (row["height"], row["width"])
                notes = tuple(row["notes"])
                kept[row["path"]] = PictureRow(
                    row["path"], row["name"], image_hw, row["n_masks"], None, None, notes,
                    row["seconds"],
                )  # fmt: skip
        masks_of = defaultdict(list)
        for mask in read_rows(self._folder, MASKS, shard.file_name):
            masks_of[mask["path"]].append(mask)
        return kept, masks_of

    def _results(
        self, pictures: Sequence[SourcePicture], temporary: Path, attempts: Attempts
    ) -> Iterator[tuple[PictureRow, list[dict[str, Any]]]]:
        """What becomes of each picture, and the rows of its masks."""
        as_planned = not self._order.retry_failed
        for number, (picture, coming) in enumerate(_ahead(pictures, temporary, as_planned)):
            begun_s = time.monotonic()
            if attempts.has_condemned(picture.path):
                yield _condemned(picture), []
                continue
            attempts.before(picture.path)
            into = temporary / str(number)
            try:
                path = coming.result()
            except (ImageError, StorageError) as error:
                yield _failed(picture, error, str(error)), []
                continue
            done, found = self._segment(picture, path)
            self._count_device_failures(picture, done.error, attempts)
            seconds = time.monotonic() - begun_s
            if found is not None and done.error is None:
                yield _row(picture, found, seconds), mask_rows(found)
            elif done.error is not None:
                # A copy has a name that nobody knows.
                words = str(done.error).replace(str(path), picture.path)
                yield _failed(picture, done.error, words, seconds), []
            if path.parent == into:
                path.unlink(missing_ok=True)

    def _segment(
        self, picture: SourcePicture, path: Path
    ) -> tuple[PictureDone, Segmentation | None]:
        """Segments a picture, a second time if the device had too little memory."""
        cell: list[Segmentation] = []

        def keep(_picture: PictureFile, found: Segmentation) -> list[Path]:
            cell.append(found)
            return []

        file = PictureFile(path, picture.name, "", picture.objects)
        done = segment_picture(file, self._segmenter, self._order.parameters, keep)
        if isinstance(done.error, DeviceError):
            _empty_device_cache()
            done = segment_picture(file, self._segmenter, self._order.parameters, keep)
        return done, cell[-1] if cell else None

    def _count_device_failures(
        self, picture: SourcePicture, error: SegmentAnythingError | None, attempts: Attempts
    ) -> None:
        if not isinstance(error, DeviceError):
            self._failures_in_a_row.clear()
            self._has_worked = self._has_worked or error is None
            return
        self._failures_in_a_row.append(picture.path)
        if self._has_worked and len(self._failures_in_a_row) >= _DEVICE_FAILURES_IN_A_ROW:
            attempts.blame(self._failures_in_a_row[0])
            raise BrokenProcessError(
                f"The device failed at {_DEVICE_FAILURES_IN_A_ROW} pictures in a row, and did not "
                f"before: {error} Run the same command again."
            ) from error


def _ahead(
    pictures: Sequence[SourcePicture], temporary: Path, as_planned: bool
) -> Iterator[tuple[SourcePicture, Future[Path]]]:
    """Each picture with its file, while the next ones are fetched."""

    def fetch(number: int) -> Path:
        into = temporary / str(number)
        into.mkdir()
        return fetched(pictures[number], into, as_planned=as_planned)

    executor = ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="sam2_fetch")
    waiting: deque[Future[Path]] = deque()
    try:
        for number, picture in enumerate(pictures):
            while len(waiting) < _READ_AHEAD and number + len(waiting) < len(pictures):
                waiting.append(executor.submit(fetch, number + len(waiting)))
            yield picture, waiting.popleft()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _row(picture: SourcePicture, found: Segmentation, seconds: float) -> PictureRow:
    height, width = found.image_rgb_hwc.shape[:2]
    n_masks = sum(map(len, found.ranked))
    return PictureRow(
        picture.path, picture.name, (height, width), n_masks, notes=found.notes, seconds=seconds
    )


def _failed(
    picture: SourcePicture, error: SegmentAnythingError, words: str, seconds: float = 0.0
) -> PictureRow:
    kind = type(error).__name__
    return PictureRow(picture.path, picture.name, error=words, error_kind=kind, seconds=seconds)


def _condemned(picture: SourcePicture) -> PictureRow:
    return PictureRow(
        picture.path,
        picture.name,
        error=f"{picture.path} was given up: the process died twice while it worked on this "
        "picture, and once before; look whether memory runs out, make the picture smaller, and "
        "run the same command with --retry-failed.",
        error_kind="ProcessDied",
    )


def _check_storage(rows: Sequence[PictureRow]) -> None:
    """Stops a run whose pictures nobody gives, before it is all rows of errors."""
    if not rows or any(row.error_kind != StorageError.__name__ for row in rows):
        return
    if len(rows) < _LEAST_OF_A_LOST_SHARD and all("not there" in (row.error or "") for row in rows):
        return
    raise StorageError(
        f"None of the {len(rows)} pictures of a shard can be had, the first of them: "
        f"{rows[0].error}"
    )


def _empty_device_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
