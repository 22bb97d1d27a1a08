from pathlib import Path

import numpy as np

from training.dataset import PromptDataset, SceneSource, enlarged
from training.scenes import draw_scene


def drawn_only(size_px: int) -> SceneSource:
    nowhere = Path("none")
    return SceneSource(
        2, composites=0, photographs=0, bank=nowhere, labelled=nowhere, size_px=size_px
    )


class TestSceneSource:
    def test_scenes_have_the_size_of_the_input(self) -> None:
        scene = drawn_only(320).scene(4, np.random.default_rng(1))
        assert scene.image_hwc.shape == (320, 320, 3)
        assert scene.object_ids_hw.shape == (320, 320)


class TestEnlarged:
    def test_makes_no_new_numbers(self) -> None:
        scene = draw_scene(3)
        larger = enlarged(scene, 384)
        assert set(np.unique(larger.object_ids_hw)) <= set(np.unique(scene.object_ids_hw))
        shares = [np.mean(ids > 0) for ids in (scene.object_ids_hw, larger.object_ids_hw)]
        assert abs(shares[0] - shares[1]) < 0.01


class TestPromptDataset:
    def test_a_scene_depends_on_its_number_alone(self) -> None:
        whole = PromptDataset(drawn_only(256), (2, 1), range(0, 8, 2))
        rest = PromptDataset(drawn_only(256), (2, 1), range(4, 8, 2))
        assert len(rest) == 2
        assert np.array_equal(whole[2].image_hwc, rest[0].image_hwc)
        assert np.array_equal(whole[2].clicks_nx2, rest[0].clicks_nx2)
