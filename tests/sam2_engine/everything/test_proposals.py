"""Batches of points that a device has no room for."""

from __future__ import annotations

import pytest

from infer_segment_anything_2.errors import DeviceError
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Generators
from tests.sam2_engine.everything.small_grids import (
    LENIENT,
    MODES,
    PICTURE,
    ShortOfMemory,
    check_equal,
)


class TestOutOfMemory:
    @MODES
    @pytest.mark.parametrize("room", [1, 3])
    def test_halves_the_batch_until_it_fits(
        self, nano: Generators, settings: GridSettings, room: int
    ) -> None:
        expected = nano.ours(PICTURE, settings).masks
        short = Generators(nano.network)
        short.decoder = ShortOfMemory(nano.network)
        short.decoder.room = room
        check_equal(short.ours(PICTURE, settings).masks, expected)

    def test_says_what_to_lower_when_one_point_is_too_much(self, nano: Generators) -> None:
        short = Generators(nano.network)
        short.decoder = ShortOfMemory(nano.network)
        with pytest.raises(DeviceError) as caught:
            short.ours(PICTURE, LENIENT)
        assert str(caught.value).startswith(
            "The memory of device 'cpu' does not suffice: expected room to decode one point at a "
            "time, got out of memory. Lower points_per_batch,"
        )
        assert str(caught.value).endswith("CUDA out of memory. Tried to allocate 2 GiB")

    def test_lets_other_errors_pass(self, nano: Generators) -> None:
        broken = Generators(nano.network)
        broken.decoder = ShortOfMemory(nano.network)
        broken.decoder.error = RuntimeError("shapes do not fit")
        with pytest.raises(RuntimeError, match=r"^shapes do not fit$"):
            broken.ours(PICTURE, LENIENT)
