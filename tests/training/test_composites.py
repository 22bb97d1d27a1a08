import numpy as np
import pytest

from training.composites import draw_composite
from training.picture_bank import Bank


class TestDrawComposite:
    @pytest.mark.parametrize("seed", range(4))
    def test_parts_lie_within_one_object(self, small_bank: Bank, seed: int) -> None:
        scene = draw_composite(seed, small_bank, 192)
        assert scene.image_hwc.shape == (192, 192, 3)
        for part in range(1, int(scene.part_ids_hw.max()) + 1):
            owners = np.unique(scene.object_ids_hw[scene.part_ids_hw == part])
            assert len(owners) <= 1
            assert 0 not in owners

    def test_depends_on_its_seed_alone(self, small_bank: Bank) -> None:
        first, again = (draw_composite(5, small_bank, 128) for _ in range(2))
        assert np.array_equal(first.image_hwc, again.image_hwc)
        assert np.array_equal(first.object_ids_hw, again.object_ids_hw)
        assert not np.array_equal(first.image_hwc, draw_composite(6, small_bank, 128).image_hwc)
