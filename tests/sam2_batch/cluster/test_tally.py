"""What a run comes to while it goes on: the workers that its bar tells of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infer_segment_anything_2.sam2_batch.cluster import tally as tally_module
from infer_segment_anything_2.sam2_batch.cluster.shard_work import ShardDone
from infer_segment_anything_2.sam2_batch.cluster.tally import Tally


class Clock:
    """Goes on when it is told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tally_module, "monotonic", clock)
    return clock


@pytest.fixture
def tally(clock: Clock) -> Iterator[Tally]:
    with Tally(1000, 1.0, quiet=True, verbose=False) as entered:
        yield entered


def shard(worker: str, seconds: float = 1.0) -> ShardDone:
    return ShardDone(0, n_pictures=1, seconds=seconds, worker=worker)


class TestWorkers:
    def test_that_died_and_came_back_are_no_more_than_before(
        self, tally: Tally, clock: Clock
    ) -> None:
        for number, worker in enumerate(("here:1", "there:1", "there:2")):
            clock.now_s = 50.0 * number
            tally.add(shard(worker))
        assert tally.n_workers == 2
        clock.now_s += 20.0
        assert tally.n_workers == 1

    def test_are_waited_for_as_long_as_their_shards_take(self, tally: Tally, clock: Clock) -> None:
        tally.add(shard("here:1", seconds=600.0))
        clock.now_s = 1700.0
        tally.add(shard("there:1"))
        assert tally.n_workers == 2

    def test_do_not_count_for_what_had_been_done_before(self, tally: Tally) -> None:
        tally.add(ShardDone(0))
        assert tally.n_workers == 0
