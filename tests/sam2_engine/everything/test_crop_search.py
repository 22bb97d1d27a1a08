"""The search of crops: how many masks wait, how far it is."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from infer_segment_anything_2.errors import CancelledError
from infer_segment_anything_2.sam2_engine.everything import generation
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Generators
from tests.sam2_engine.everything.small_grids import LENIENT, MODES, PICTURE, check_equal


class TestMemory:
    @MODES
    def test_a_full_pile_is_written_early(
        self, nano: Generators, settings: GridSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = nano.ours(PICTURE, settings).masks
        monkeypatch.setattr(generation, "_MOST_WAITING_BYTES", -1)
        check_equal(nano.ours(PICTURE, settings).masks, expected)


class TestProgress:
    def test_counts_the_points_of_all_crops(self, nano: Generators) -> None:
        told: list[tuple[int, int]] = []
        settings = replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2)
        nano.ours(PICTURE, settings, lambda done, total: told.append((done, total)))
        done = [step for step, _ in told]
        assert {total for _, total in told} == {16 + 4 * 4}
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0, 32)

    def test_a_cancelled_run_ends_and_leaves_no_thread(self, nano: Generators) -> None:
        threads_before = set(threading.enumerate())

        def cancel(done: int, total: int) -> None:
            if done:
                raise CancelledError(f"stopped after {done} of {total}")

        with pytest.raises(CancelledError, match=r"^stopped after 6 of 16$"):
            nano.ours(PICTURE, LENIENT, cancel)
        assert set(threading.enumerate()) == threads_before
