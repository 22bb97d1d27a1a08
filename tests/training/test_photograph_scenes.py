from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.photograph_scenes import draw_photograph, labelled_paths
from training.prompts import MaskMenu

SIZE_PX = 128


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A grey photograph with a green field, a blue patch in it and a red field beside it."""
    image = np.full((200, 300, 3), 128, np.uint8)
    masks = np.zeros((3, 200, 300), bool)
    for k, (rows, columns, colour) in enumerate(
        [
            (slice(20, 180), slice(20, 160), (0, 200, 0)),
            (slice(40, 160), slice(180, 280), (200, 0, 0)),
            (slice(60, 120), slice(50, 110), (0, 0, 200)),
        ]
    ):
        masks[k, rows, columns] = True
        image[rows, columns] = colour
    Image.fromarray(image).save(tmp_path / "fields.jpg", quality=95)
    bits = np.packbits(masks, axis=-1)
    np.savez_compressed(tmp_path / "fields.npz", bits=bits, shape=masks.shape)
    Image.fromarray(image).save(tmp_path / "not_labelled.jpg")
    return tmp_path


class TestDrawPhotograph:
    def test_is_the_same_for_the_same_seed(self, labelled: Path) -> None:
        first, second = (draw_photograph(5, labelled, SIZE_PX) for _ in range(2))
        assert np.array_equal(first.image_hwc, second.image_hwc)
        assert np.array_equal(first.object_ids_hw, second.object_ids_hw)

    def test_masks_lie_on_what_they_show(self, labelled: Path) -> None:
        scenes = [draw_photograph(seed, labelled, SIZE_PX) for seed in range(12)]
        menus = [MaskMenu(scene) for scene in scenes]
        assert any(menu.part_ids for menu in menus)
        for scene, menu in zip(scenes, menus, strict=True):
            for part_id in menu.part_ids:
                part = menu.part_mask(part_id)
                # The patch alone is blue; grey pictures have no colours to tell.
                mean = scene.image_hwc[part].mean(0)
                assert mean[2] >= mean[:2].max() - 1
                assert len(np.unique(scene.object_ids_hw[part])) == 1

    def test_has_no_background_to_ask_for(self, labelled: Path) -> None:
        assert not MaskMenu(draw_photograph(0, labelled, SIZE_PX)).has_background


class TestLabelledPaths:
    def test_are_those_with_masks(self, labelled: Path) -> None:
        assert [path.name for path in labelled_paths(labelled)] == ["fields.jpg"]

    def test_none_says_how_to_make_them(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"training\.teacher"):
            labelled_paths(tmp_path)
