"""Regions and point grids in text, and which points lie in a polygon."""

from __future__ import annotations

import numpy as np
import pytest
from shapely import Point, Polygon

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.sam2_engine.everything.crops import is_in_polygons
from infer_segment_anything_2.sam2_reading.prompt_text import parse_point_grids, parse_regions

TRIANGLE = ((0.0, 0.0), (9.0, 0.0), (0.0, 5.5))
BOX = ((1.0, 2.0), (30.0, 2.0), (30.0, 40.0), (1.0, 40.0))


class TestParseRegions:
    @pytest.mark.parametrize(
        ("text", "regions"),
        [
            ("", []),
            ("None", []),
            ("[]", []),
            ("[1, 2, 30, 40]", [BOX]),
            ("[[30, 40, 1, 2]]", [BOX]),
            ("(1 2 30 40)", [BOX]),
            ("[[0, 0], [9, 0], [0, 5.5]]", [TRIANGLE]),
            ("[[[0, 0], [9, 0], [0, 5.5]]]", [TRIANGLE]),
            ("[[1, 2, 30, 40], [1, 2, 30, 40]]", [BOX, BOX]),
            ("[[1, 2, 30, 40], [[0, 0], [9, 0], [0, 5.5]]]", [BOX, TRIANGLE]),
        ],
    )
    def test_reads(self, text: str, regions: list[object]) -> None:
        assert parse_regions(text) == regions

    @pytest.mark.parametrize(
        "text",
        [
            "[1, 2, 3]",
            "[[0, 0], [9, 0]]",
            "[[0, 0], [9, 0], [0, 5, 5]]",
            "[[0, 0], 4, [9, 0]]",
            "[[], [0, 0]]",
            "[[0, 0], [[[9, 0]]]]",
            "here",
            "[[0, 0], " + "[" * 50_000 + "]" * 50_000 + "]",
        ],
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(PromptError, match=r"^region_of_interest must hold regions such as"):
            parse_regions(text)


class TestParsePointGrids:
    @pytest.mark.parametrize(
        ("text", "n_layers", "grids"),
        [
            ("", 2, []),
            ("[0.5, 1]", 1, [[(0.5, 1)]]),
            ("[[0.5, 0.5], [0, 1]]", 1, [[(0.5, 0.5), (0, 1)]]),
            ("[[0.5, 0.5]]", 2, [[(0.5, 0.5)], [(0.5, 0.5)]]),
            (
                "[[[0.5, 0.5]], [[0.1, 0.2], [0.3, 0.4]]]",
                2,
                [[(0.5, 0.5)], [(0.1, 0.2), (0.3, 0.4)]],
            ),
        ],
    )
    def test_reads(self, text: str, n_layers: int, grids: list[object]) -> None:
        assert parse_point_grids(text, n_layers) == grids

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("[[0.5, 1.5]]", "from 0 to 1"),
            ("[[0.5, 0.5, 0.5]]", "2 numbers"),
            ("[[[0.1, 0.2]], [[0.3, 0.4]], [[0.5, 0.6]]]", "3 lists of points for 2 layers"),
        ],
    )
    def test_refuses(self, text: str, why: str) -> None:
        with pytest.raises(PromptError, match=f"^point_grids must hold points .*{why}"):
            parse_point_grids(text, 2)


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
