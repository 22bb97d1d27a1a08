import numpy as np
import pytest

from training.scenes import Scene, draw_scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in range(40, 70)]


class TestDrawScene:
    def test_same_seed_gives_same_scene(self) -> None:
        first, second = draw_scene(12), draw_scene(12)
        assert np.array_equal(first.image_hwc, second.image_hwc)
        assert np.array_equal(first.object_ids_hw, second.object_ids_hw)
        assert np.array_equal(first.part_ids_hw, second.part_ids_hw)

    def test_other_seed_gives_other_scene(self) -> None:
        assert not np.array_equal(draw_scene(12).image_hwc, draw_scene(13).image_hwc)

    def test_picture_and_masks_share_one_size(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            assert scene.image_hwc.shape == (256, 256, 3)
            assert scene.image_hwc.dtype == np.uint8
            assert scene.object_ids_hw.shape == scene.part_ids_hw.shape == (256, 256)

    def test_every_part_lies_in_one_object(self, scenes: list[Scene]) -> None:
        n_parts = 0
        for scene in scenes:
            for part_id in np.unique(scene.part_ids_hw[scene.part_ids_hw > 0]):
                owners = np.unique(scene.object_ids_hw[scene.part_ids_hw == part_id])
                assert len(owners) == 1
                assert owners[0] > 0
                n_parts += 1
        assert n_parts > 10

    def test_a_fifth_or_more_is_grey(self, scenes: list[Scene]) -> None:
        grey = [bool(np.all(np.ptp(s.image_hwc.astype(int), axis=2) == 0)) for s in scenes]
        assert len(scenes) / 5 <= sum(grey) < len(scenes)

    def test_families_vary(self, scenes: list[Scene]) -> None:
        assert len({scene.family for scene in scenes}) >= 4

    def test_objects_can_be_told_from_a_plain_picture(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            assert scene.image_hwc.std() > 2
            assert scene.object_ids_hw.max() >= 1
