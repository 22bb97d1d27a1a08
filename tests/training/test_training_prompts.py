import numpy as np
import pytest

from training.prompts import MaskMenu, box_of, draw_click, draw_prompts, inner_distance
from training.scenes import draw_scene


class TestDrawPrompts:
    @pytest.mark.parametrize("seed", [3, 4, 5])
    def test_clicks_lie_on_the_masks_that_they_ask_for(self, seed: int) -> None:
        prompts = draw_prompts(draw_scene(seed), np.random.default_rng(1), 8, 4)
        for (x, y), mask in zip(prompts.clicks_nx2, prompts.click_masks_nhw, strict=True):
            assert mask[int(y) // 2, int(x) // 2] > 0

    def test_boxes_hold_their_masks_but_for_a_jitter(self) -> None:
        prompts = draw_prompts(draw_scene(3), np.random.default_rng(1), 1, 16)
        for box, mask in zip(prompts.boxes_nx4, prompts.box_masks_nhw, strict=True):
            tight = box_of(mask > 127) * 2
            side = max(tight[2] - tight[0], tight[3] - tight[1])
            assert np.abs(box - tight).max() <= 0.13 * side + 4

    def test_same_source_gives_same_prompts(self) -> None:
        first = draw_prompts(draw_scene(3), np.random.default_rng(1), 3, 3)
        second = draw_prompts(draw_scene(3), np.random.default_rng(1), 3, 3)
        assert np.array_equal(first.clicks_nx2, second.clicks_nx2)
        assert np.array_equal(first.box_masks_nhw, second.box_masks_nhw)


class TestMaskMenu:
    def test_part_and_whole_are_each_others_other_mask(self) -> None:
        menus = (MaskMenu(draw_scene(seed)) for seed in range(50))
        menu = next(m for m in menus if m.part_ids)
        part = menu.part_mask(menu.part_ids[0])
        y, x = np.argwhere(part)[0]
        whole = menu.other_mask(int(x), int(y), asked_part=True)
        again = menu.other_mask(int(x), int(y), asked_part=False)
        assert whole is not None
        assert bool(np.all(whole[part]))
        assert whole.sum() > part.sum()
        assert again is not None
        assert np.array_equal(again, part)


class TestDrawClick:
    def test_falls_on_the_mask(self) -> None:
        mask = np.zeros((32, 32), bool)
        mask[3:9, 20:31] = True
        clicks = [draw_click(mask, np.random.default_rng(seed)) for seed in range(40)]
        assert all(mask[y, x] for x, y in clicks)


class TestInnerDistance:
    def test_counts_the_picture_edge_as_outside(self) -> None:
        depth = inner_distance(np.ones((9, 9), bool))
        assert depth.argmax() == 40
        assert depth[0, 4] == pytest.approx(1, abs=0.1)


class TestBoxOf:
    def test_includes_its_last_pixels(self) -> None:
        mask = np.zeros((20, 30), bool)
        mask[4:8, 10:21] = True
        assert box_of(mask).tolist() == [10, 4, 20, 7]
