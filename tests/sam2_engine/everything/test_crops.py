import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sam2.utils.amg import build_all_layer_point_grids, generate_crop_boxes, is_box_near_crop_edge
from shapely import Point, Polygon

from infer_segment_anything_2.sam2_engine.everything.crops import (
    Crop,
    is_in_polygons,
    is_near_inner_edge,
    make_crops,
    make_point_grids,
    points_in_crop,
)

TRIANGLE = ((0.0, 0.0), (9.0, 0.0), (0.0, 5.5))
BOX = ((1.0, 2.0), (30.0, 2.0), (30.0, 40.0), (1.0, 40.0))

sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


class TestMakeCrops:
    @given(sizes, st.integers(0, 3), st.floats(0, 0.9, allow_subnormal=False))
    def test_equals_meta_but_for_crops_without_pixels(
        self, image_hw: tuple[int, int], n_layers: int, overlap_ratio: float
    ) -> None:
        boxes, layers = generate_crop_boxes(image_hw, n_layers, overlap_ratio)
        expected = [
            (tuple(box), layer)
            for box, layer in zip(boxes, layers, strict=True)
            if box[0] < box[2] and box[1] < box[3]
        ]
        crops = make_crops(image_hw, n_layers, overlap_ratio)
        assert [(crop.box_xyxy_px, crop.layer) for crop in crops] == expected

    def test_leaves_out_crops_without_pixels(self) -> None:
        boxes = [crop.box_xyxy_px for crop in make_crops((1, 1), 2, 0.3)]
        assert boxes == [(0, 0, 1, 1)] * 3


class TestMakePointGrids:
    @pytest.mark.parametrize(
        ("n_per_side", "n_layers", "factor"), [(32, 0, 1), (32, 2, 1), (16, 3, 2), (7, 1, 3)]
    )
    def test_equals_meta(self, n_per_side: int, n_layers: int, factor: int) -> None:
        grids = make_point_grids(n_per_side, n_layers, factor)
        expected = build_all_layer_point_grids(n_per_side, n_layers, factor)
        assert len(grids) == len(expected)
        for grid, meta_grid in zip(grids, expected, strict=True):
            assert np.array_equal(grid, meta_grid)

    def test_has_a_point_where_meta_divides_by_zero(self) -> None:
        assert make_point_grids(4, 2, 4)[-1].tolist() == [[0.5, 0.5]]
        assert make_point_grids(2, 2, 4)[-1].tolist() == [[0.5, 0.5]]


class TestPointsInCrop:
    def test_equals_meta(self) -> None:
        (grid,) = make_point_grids(9, 0, 1)
        crop = Crop((11, 5, 11 + 317, 5 + 211), 1)
        expected = torch.as_tensor(grid * np.array([211, 317])[None, ::-1], dtype=torch.float32)
        assert np.array_equal(points_in_crop(grid, crop), expected.numpy())


class TestIsNearInnerEdge:
    @given(
        st.lists(st.tuples(*[st.integers(0, 299)] * 4), min_size=1, max_size=20),
        st.sampled_from(range(5)),
    )
    def test_equals_meta(self, boxes: list[tuple[int, int, int, int]], which: int) -> None:
        image_hw = (300, 400)
        crop = make_crops(image_hw, 1, 0.3)[which]
        left, top = crop.xy_px
        expected = is_box_near_crop_edge(
            torch.tensor(boxes), list(crop.box_xyxy_px), [0, 0, image_hw[1], image_hw[0]]
        )
        placed = np.array(boxes) + np.array([left, top, left, top])
        assert np.array_equal(is_near_inner_edge(placed, crop, image_hw), expected.numpy())

    @pytest.mark.parametrize(("distance", "is_near"), [(20, True), (21, False)])
    def test_counts_twenty_pixels_as_near(self, distance: int, is_near: bool) -> None:
        crop = Crop((0, 0, 200, 300), 1)
        box = np.array([[0, 0, 200 - distance, 100]])
        assert is_near_inner_edge(box, crop, (300, 400)).tolist() == [is_near]


class TestCrop:
    def test_is_a_view_of_the_picture(self) -> None:
        image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
        crop = Crop((1, 2, 4, 4), 1)
        assert np.array_equal(crop.cut(image), image[2:4, 1:4])
        assert np.shares_memory(crop.cut(image), image)
        assert crop.hw == (2, 3)


class TestIsInPolygons:
    @pytest.mark.parametrize("seed", range(8))
    def test_equals_shapely(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radii = rng.uniform(2, 9, 9)
        corners = [
            (10 + r * np.cos(a), 10 + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)
        ]
        points = rng.uniform(0, 20, (400, 2))
        judged = [Polygon(corners).contains(Point(x, y)) for x, y in points]
        assert is_in_polygons(points, [corners]).tolist() == judged

    def test_takes_points_of_any_polygon(self) -> None:
        points = np.array([[1.0, 1.0], [5.0, 5.0], [20.0, 20.0]])
        assert is_in_polygons(points, [TRIANGLE, BOX]).tolist() == [True, True, True]
        assert is_in_polygons(points, [TRIANGLE]).tolist() == [True, False, False]
