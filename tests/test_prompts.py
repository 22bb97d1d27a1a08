from __future__ import annotations

import pytest

from infer_segment_anything_2.prompts import (
    BACKGROUND_LABEL,
    FOREGROUND_LABEL,
    DrawnBox,
    DrawnPoint,
    assemble_objects,
    objects_from_drawing,
)


class TestObjectsFromDrawing:
    @pytest.mark.parametrize("word", ["negative", "background", " Negative ", "BACKGROUND"])
    def test_words_for_background(self, word: str) -> None:
        (prompt,) = objects_from_drawing([DrawnPoint((5, 7)), DrawnPoint((8, 9), word)], [])
        assert prompt.labels == (FOREGROUND_LABEL, BACKGROUND_LABEL)

    @pytest.mark.parametrize("word", ["", "Default", "positive", "foreground", "dog", "0"])
    def test_other_categories_are_on_the_object(self, word: str) -> None:
        (prompt,) = objects_from_drawing([DrawnPoint((5, 7), word)], [])
        assert prompt.labels == (FOREGROUND_LABEL,)

    def test_rectangles_category_is_objects_name(self) -> None:
        dog, unnamed = objects_from_drawing(
            [DrawnPoint((5, 5), "cat")],
            [DrawnBox((0, 0, 9, 9), "dog"), DrawnBox((20, 20, 30, 30), "Default")],
        )
        assert (dog.category, unnamed.category) == ("dog", "")
        assert dog.points_xy_px == ((5, 5),)
        assert dog.key == ""

    def test_nothing_drawn_is_no_objects(self) -> None:
        assert objects_from_drawing([], []) == []


class TestAssembleObjects:
    def test_point_on_a_boxs_edge_is_in_it(self) -> None:
        first, second = assemble_objects([(10, 5)], [1], [(0, 0, 10, 10), (50, 50, 60, 60)])
        assert first.points_xy_px == ((10, 5),)
        assert second.points_xy_px == ()
