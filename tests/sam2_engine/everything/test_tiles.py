"""Tiles: their layout, the joining of what seams cut, and the recall of drawn objects."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.tiles import BigScene, draw_big_scene, recall
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything.tiles import join_cut_masks, make_tiles
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.settings import GridSettings, TileSettings

SETTINGS = TileSettings(160, 0.25)
IMAGE_HW = (300, 420)


class TestMakeTiles:
    @pytest.mark.parametrize("image_hw", [(300, 420), (161, 160), (1000, 90), (433, 777)])
    @pytest.mark.parametrize("overlap", [0.1, 0.25, 0.6])
    def test_cover_the_picture_and_overlap(self, image_hw: tuple[int, int], overlap: float) -> None:
        rows = make_tiles(image_hw, TileSettings(160, overlap))
        covered = np.zeros(image_hw, bool)
        for row in rows:
            for tile in row:
                left, top, right, bottom = tile.box_xyxy_px
                assert 0 <= left < right <= image_hw[1]
                assert 0 <= top < bottom <= image_hw[0]
                assert tile.hw == (min(160, image_hw[0]), min(160, image_hw[1]))
                covered[top:bottom, left:right] = True
            for one, other in pairwise(row):
                assert one.box_xyxy_px[2] - other.box_xyxy_px[0] >= int(overlap * 160)
        assert covered.all()

    def test_of_a_small_picture_is_one(self) -> None:
        assert [len(row) for row in make_tiles((100, 160), SETTINGS)] == [1]


def true_masks(seed: int) -> npt.NDArray[np.bool_]:
    """Discs from 6 to 130 pixels: some whole in a tile, some larger than tiles."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(IMAGE_HW)
    places = zip(rng.uniform(0, 300, 14), rng.uniform(0, 420, 14), strict=True)
    radii = np.concatenate([rng.uniform(6, 40, 11), rng.uniform(70, 130, 3)])
    return np.stack(
        [np.hypot(rows - y, columns - x) < r for (y, x), r in zip(places, radii, strict=True)]
    )


def as_set(masks: list[npt.NDArray[np.bool_]]) -> MaskSet:
    n = len(masks)
    rles = tuple(Rle.from_mask(mask) for mask in masks)
    boxes = [bounding_box_xyxy_px(rle.counts, IMAGE_HW) for rle in rles]
    return MaskSet(
        image_hw=IMAGE_HW,
        rles=rles,
        boxes_xyxy_px=np.array(boxes, np.int64).reshape(n, 4),
        predicted_iou=np.linspace(0.9, 0.5, n).astype(np.float32),
        stability_score=np.ones(n, np.float32),
        points_xy_px=np.zeros((n, 2)),
        crop_boxes_xywh_px=np.zeros((n, 4), np.int64),
        object_index=np.arange(n),
    )


class TestJoinCutMasks:
    @pytest.mark.parametrize("seed", range(6))
    def test_gives_every_object_back_whole_from_what_perfect_tiles_show(self, seed: int) -> None:
        truth = true_masks(seed)
        rows = make_tiles(IMAGE_HW, SETTINGS)
        found = []
        for tile in (tile for row in rows for tile in row):
            left, top, right, bottom = tile.box_xyxy_px
            window = np.zeros(IMAGE_HW, bool)
            window[top:bottom, left:right] = True
            found.append(as_set([mask & window for mask in truth if (mask & window).any()]))
        joined = join_cut_masks(found, rows, IMAGE_HW)
        assert set(joined.rles) == {Rle.from_mask(mask) for mask in truth}
        boxes = [bounding_box_xyxy_px(rle.counts, IMAGE_HW) for rle in joined.rles]
        assert joined.boxes_xyxy_px.tolist() == [list(box) for box in boxes]

    def test_drops_what_stays_cut(self) -> None:
        rows = make_tiles((100, 250), SETTINGS)
        left, right = (tile.box_xyxy_px for tile in rows[0])
        assert (left, right) == ((0, 0, 160, 100), (90, 0, 250, 100))
        part = np.zeros((100, 250), bool)
        part[40:60, 120:160] = True  # only the left tile shows it, up to its edge
        rle = Rle.from_mask(part)
        cut = MaskSet(
            image_hw=(100, 250),
            rles=(rle,),
            boxes_xyxy_px=np.array([[120, 40, 159, 59]]),
            predicted_iou=np.ones(1, np.float32),
            stability_score=np.ones(1, np.float32),
            points_xy_px=np.zeros((1, 2)),
            crop_boxes_xywh_px=np.array([[0, 0, 160, 100]]),
            object_index=np.arange(1),
        )
        assert len(join_cut_masks([cut, MaskSet.empty((100, 250))], rows, (100, 250))) == 0


@pytest.fixture(scope="module")
def scene() -> BigScene:
    return draw_big_scene(36, 21, 1)  # objects of some 15 pixels, on 756 x 756


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_model("sam2_demo_nano", device=torch.device("cpu")))


@pytest.mark.slow
class TestRecall:
    """With the bundled network, on a picture of 0.6 megapixels; tiles show twice its pixels."""

    def test_is_higher_with_tiles(self, engine: Engine, scene: BigScene) -> None:
        grid = GridSettings(points_per_side=12, pred_iou_thresh=0.5, stability_score_thresh=0.7)
        plain = engine.generate(scene.image_rgb_hwc, replace(grid, points_per_side=24))
        tiled = engine.generate(scene.image_rgb_hwc, grid, tiles=TileSettings(256, 0.1))
        assert recall(tiled.masks, scene.small) > recall(plain.masks, scene.small) + 0.5
        assert tiled.filter_counts.shown == len(tiled.masks)
        assert tiled.filter_counts.points == 144 * (4 * 4 + 1)

    def test_of_a_small_picture_is_that_without_tiles(
        self, engine: Engine, scene: BigScene
    ) -> None:
        corner = np.ascontiguousarray(scene.image_rgb_hwc[:200, :256])
        grid = GridSettings(points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.5)
        plain = engine.generate(corner, grid)
        tiled = engine.generate(corner, grid, tiles=TileSettings(256))
        assert tiled.masks.rles == plain.masks.rles
        assert tiled.filter_counts == plain.filter_counts
