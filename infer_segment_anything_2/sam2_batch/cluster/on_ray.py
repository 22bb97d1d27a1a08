"""Shards on a Ray cluster, or on a Ray of this machine alone. The only module that imports Ray.

Of Ray Data one operator is used: rows are shards, and an actor does all the work on one. No
picture and no mask is ever in Ray's object store; what is used is Ray's placing and restarting.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from infer_segment_anything_2 import errors
from infer_segment_anything_2.errors import SegmentAnythingError, StorageError, first_line
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Shard
from infer_segment_anything_2.sam2_batch.cluster.shard_work import (
    BrokenProcessError,
    Order,
    ShardDone,
    ShardWorker,
)

__all__ = ["RayChoices", "run_on_ray"]

_STORE_BYTES = 100_000_000
_ENVIRONMENT = {
    # Waiting threads sleep: spinning ones take the cores that other workers wait for.
    "OMP_WAIT_POLICY": "passive",
}
_STANDARD_ERROR = 2
_LEVEL_NAME = "RAY_BACKEND_LOG_LEVEL"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # At each start Ray tells, as an error, of constructors that the driver holds (ray#53727).
    _LEVEL_NAME: "fatal",
}


@dataclass(frozen=True)
class RayChoices:
    """How Ray is used.

    Attributes:
        address: "local" for a Ray of this machine alone, "auto" for the cluster that this is a part
            of, or HOST:PORT.
        workers: The fewest and the most workers; None for as many as there is room for.
        cpus_per_worker: CPUs that each books, and the threads that it computes with.
        gpus_per_worker: GPUs that each books; None for one where the cluster has any and the
            parameters want it.
    """

    address: str
    workers: tuple[int, int] | None
    cpus_per_worker: int
    gpus_per_worker: float | None


def run_on_ray(
    order: Order,
    shards: Sequence[Shard],
    choices: RayChoices,
    on_done: Callable[[ShardDone], None],
) -> None:
    """Does shards on workers; what dies is started again by Ray.

    Args:
        order: Of the run.
        shards: Those that are to be done.
        choices: How Ray is used.
        on_done: Called with what became of each; may raise to stop the run.

    Raises:
        StorageError: The cluster does not answer.
        SegmentAnythingError: A worker met with what would go wrong with every picture.
    """
    with _connected(choices):
        fewest, most, n_gpus = _sizes(choices, order)
        pool = ActorPoolStrategy(min_size=min(fewest, len(shards)), max_size=min(most, len(shards)))
        rows = [{"shard": json.dumps(asdict(shard))} for shard in shards]
        # One block per shard: a shard's row comes back when it is done, not with others.
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(order,),
            batch_size=1,
            compute=pool,
            num_cpus=choices.cpus_per_worker,
            num_gpus=n_gpus or None,
            runtime_env={"env_vars": _ENVIRONMENT},
        )
        for row in results.iter_rows():
            on_done(_result_of(json.loads(row["result"])))


class _Actor:
    """A worker in a process of its own. What stops the run is a result, not a Ray traceback."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._worker: ShardWorker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Does the only shard of a batch."""
        (text,) = batch["shard"]
        try:
            if self._worker is None:
                self._worker = ShardWorker(self._order)
            result = asdict(self._worker.do(Shard(**json.loads(str(text)))))
        except BrokenProcessError:
            os._exit(1)  # Ray starts a new process, in which the device may work again
        except SegmentAnythingError as error:
            result = {"stop": type(error).__name__, "words": str(error)}
        return {"result": [json.dumps(result)]}


def _result_of(result: dict[str, Any]) -> ShardDone:
    if "stop" in result:
        kind = getattr(errors, result["stop"], SegmentAnythingError)
        raise kind(result["words"])
    return ShardDone(**result)


@contextmanager
def _connected(choices: RayChoices) -> Iterator[None]:
    """Joins a cluster, or starts a Ray of this machine; leaves nothing behind."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    asked: dict[str, Any] = {"address": choices.address}
    if choices.address == "local":
        most = choices.workers[1] if choices.workers else _room_here(choices.cpus_per_worker)
        asked |= {
            "num_cpus": most * choices.cpus_per_worker,
            "object_store_memory": _STORE_BYTES,
            "include_dashboard": False,
        }
    try:
        with _own_words_left_out():
            ray.init(**asked, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # Ray's own are bare ones
        reason = first_line(error)
        if choices.address == "local":
            raise StorageError(
                f"No Ray starts on this machine: {reason} Run the same command again when the "
                "machine has less to do, or without --on ray."
            ) from error
        raise StorageError(
            f"There is no Ray cluster at --ray-address {choices.address}: {reason}; "
            "expected one that runs, or local for a Ray of this machine alone."
        ) from error
    try:
        _quieten()
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_words_left_out() -> Iterator[None]:
    """Leaves out what Ray's C++ part says of the variable that keeps it quiet, and nothing else."""
    sys.stderr.flush()
    shown = os.dup(_STANDARD_ERROR)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), _STANDARD_ERROR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, _STANDARD_ERROR)
            os.close(shown)
            said.seek(0)
            for line in said:
                if _LEVEL_NAME.encode() not in line:
                    os.write(_STANDARD_ERROR, line)


def _quieten() -> None:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _sizes(choices: RayChoices, order: Order) -> tuple[int, int, float]:
    """The fewest and the most workers, and the GPUs of each."""
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    n_gpus = choices.gpus_per_worker
    if n_gpus is None:
        n_gpus = 1.0 if order.parameters.cuda and there.get("GPU", 0) >= 1 else 0.0
    if choices.workers is not None:
        return *choices.workers, n_gpus
    room = int(there.get("CPU", 1) // choices.cpus_per_worker)
    if n_gpus:
        room = min(room, int(there["GPU"] / n_gpus))
    return 1, max(1, room), n_gpus


def _room_here(cpus_per_worker: int) -> int:
    if sys.platform == "linux":
        n_cpus = len(os.sched_getaffinity(0))
    else:
        n_cpus = os.cpu_count() or 1
    return max(1, n_cpus // cpus_per_worker)
