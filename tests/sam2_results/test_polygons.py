"""Polygons filled again, with shapely and pycocotools as the judges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco
from shapely.geometry.polygon import orient

from infer_segment_anything_2.sam2_results.polygons import Polygon, joined, polygons_of

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Mask = npt.NDArray[np.bool_]

SHAPES = {
    "one-pixel": ["#"],
    "one-pixel-inside": ["...", ".#.", "..."],
    "row": ["####"],
    "hole": ["###", "#.#", "###"],
    "two-parts": ["##.#", "##.#"],
    "touching-at-a-corner": ["#.", ".#"],
    "touching-at-the-other-corner": [".#", "#."],
    "hole-that-touches-the-outside-in-a-point": ["###", "#.#", "##."],
    "holes-that-touch": ["####", "#.##", "##.#", "####"],
    "holes-that-touch-the-other-way": ["####", "##.#", "#.##", "####"],
    "island-in-a-hole": ["#####", "#...#", "#.#.#", "#...#", "#####"],
    "holes-above-each-other": ["####", "#.##", "####", "#..#", "##.#", "####"],
    "ring-in-ring": [
        "#######",
        "#.....#",
        "#.###.#",
        "#.#.#.#",
        "#.###.#",
        "#.....#",
        "#######",
    ],
    "chessboard": ["#.#.#", ".#.#.", "#.#.#"],
}
MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))


def drawn(rows: list[str]) -> Mask:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def all_shapes() -> list[object]:
    return [pytest.param(drawn(rows), id=name) for name, rows in SHAPES.items()]


def geometry(polygons: list[Polygon]) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([(part.outer, list(part.holes)) for part in polygons])


def filled(polygons: list[Polygon], hw: tuple[int, int]) -> Mask:
    """Which pixel centres lie inside, by shapely."""
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    inside: Mask = shapely.contains_xy(geometry(polygons), x.ravel(), y.ravel()).reshape(hw)
    return inside


def filled_by_coco(ring: npt.NDArray[np.int64], hw: tuple[int, int]) -> Mask:
    decoded = coco.decode(coco.frPyObjects([ring.ravel().tolist()], *hw))
    return np.asarray(decoded[..., 0], dtype=bool)


def in_a_large_picture(mask_hw: Mask) -> Mask:
    return np.pad(mask_hw, ((3, 4), (5, 2)))


class TestPolygonsOf:
    @pytest.mark.parametrize("mask_hw", all_shapes())
    def test_give_the_mask_back(self, mask_hw: Mask) -> None:
        assert np.array_equal(filled(polygons_of(mask_hw), mask_hw.shape), mask_hw)

    @given(MASKS)
    @settings(max_examples=300)
    def test_give_any_mask_back(self, mask_hw: Mask) -> None:
        polygons = polygons_of(mask_hw)
        assert np.array_equal(filled(polygons, mask_hw.shape), mask_hw)
        assert geometry(polygons).area == mask_hw.sum()

    @given(MASKS)
    @settings(max_examples=300)
    def test_are_valid(self, mask_hw: Mask) -> None:
        polygons = polygons_of(mask_hw)
        assert shapely.is_valid_reason(geometry(polygons)) == "Valid Geometry"
        for ring in [ring for part in polygons for ring in (part.outer, *part.holes)]:
            assert len(np.unique(ring, axis=0)) == len(ring)

    @given(MASKS)
    def test_have_clockwise_outlines_and_counterclockwise_holes(self, mask_hw: Mask) -> None:
        for part in polygons_of(mask_hw):
            polygon = shapely.Polygon(part.outer, list(part.holes))
            turned = orient(polygon, sign=1)  # with y downwards, positive area is clockwise
            assert turned.exterior.equals_exact(polygon.exterior)
            assert turned == polygon

    @pytest.mark.parametrize(
        ("name", "parts", "holes"),
        [
            ("one-pixel", 1, 0),
            ("hole", 1, 1),
            ("two-parts", 2, 0),
            ("touching-at-a-corner", 2, 0),
            ("touching-at-the-other-corner", 2, 0),
            ("hole-that-touches-the-outside-in-a-point", 1, 1),
            ("holes-that-touch", 1, 2),
            ("holes-that-touch-the-other-way", 1, 2),
            ("island-in-a-hole", 2, 1),
            ("holes-above-each-other", 1, 2),
            ("ring-in-ring", 2, 2),
            ("chessboard", 8, 0),
        ],
    )
    def test_are_one_per_connected_part(self, name: str, parts: int, holes: int) -> None:
        polygons = polygons_of(drawn(SHAPES[name]))
        assert len(polygons) == parts
        assert sum(len(part.holes) for part in polygons) == holes

    def test_turn_only_at_corners(self) -> None:
        (part,) = polygons_of(np.ones((50, 70), bool))
        assert sorted(part.outer.tolist()) == [[0, 0], [0, 50], [70, 0], [70, 50]]

    def test_are_shifted_by_the_offset(self) -> None:
        (part,) = polygons_of(np.ones((1, 1), bool), offset_xy=(10, 20))
        assert sorted(part.outer.tolist()) == [[10, 20], [10, 21], [11, 20], [11, 21]]

    @pytest.mark.parametrize("hw", [(0, 0), (3, 4)])
    def test_of_nothing_are_none(self, hw: tuple[int, int]) -> None:
        assert polygons_of(np.zeros(hw, bool)) == []


class TestJoined:
    @given(MASKS.filter(np.any))
    @settings(max_examples=300)
    def test_fills_to_any_mask_under_cocos_rule(self, mask_hw: Mask) -> None:
        rings = [ring for part in polygons_of(mask_hw) for ring in (part.outer, *part.holes)]
        assert np.array_equal(filled_by_coco(joined(rings), mask_hw.shape), mask_hw)

    @pytest.mark.parametrize("mask_hw", all_shapes())
    def test_fills_to_the_mask_under_cocos_rule(self, mask_hw: Mask) -> None:
        large_hw = in_a_large_picture(mask_hw)
        rings = [ring for part in polygons_of(large_hw) for ring in (part.outer, *part.holes)]
        assert np.array_equal(filled_by_coco(joined(rings), large_hw.shape), large_hw)

    @given(MASKS.filter(np.any))
    @settings(max_examples=200)
    def test_encloses_each_pixel_once(self, mask_hw: Mask) -> None:
        """The winding number of the joined line is 1 in the mask and 0 elsewhere."""
        rings = [ring for part in polygons_of(mask_hw) for ring in (part.outer, *part.holes)]
        line = joined(rings).astype(float)
        y, x = np.mgrid[: mask_hw.shape[0], : mask_hw.shape[1]] + 0.5
        winding = winding_numbers(line, np.column_stack([x.ravel() + 0.01, y.ravel() + 0.003]))
        assert np.array_equal(winding.reshape(mask_hw.shape), mask_hw.astype(int))

    def test_of_long_lines_stays_small_in_memory(self) -> None:
        mask_hw = np.zeros((3, 12_001), bool)
        mask_hw[0] = True
        mask_hw[1, ::2] = True
        mask_hw[2, -1] = mask_hw[1, -1] = True
        far_hw = np.concatenate([mask_hw, np.zeros((2, 12_001), bool), mask_hw])
        rings = [part.outer for part in polygons_of(far_hw)]
        assert np.array_equal(filled_by_coco(joined(rings), far_hw.shape), far_hw)


def winding_numbers(
    line: npt.NDArray[np.float64], points: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """How often a closed line runs round each point; clockwise on the screen counts positive."""
    towards = line[None] - points[:, None]
    angles = np.arctan2(towards[..., 1], towards[..., 0])
    turns = np.diff(np.concatenate([angles, angles[:, :1]], axis=1), axis=1)
    turns = (turns + np.pi) % (2 * np.pi) - np.pi
    winding: npt.NDArray[np.int64] = np.round(turns.sum(axis=1) / (2 * np.pi)).astype(np.int64)
    return winding
