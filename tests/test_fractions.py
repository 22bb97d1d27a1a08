"""Prompts in parts of the picture (0 to 1) instead of pixels are refused, never a corner's mask."""

from __future__ import annotations

import math

import pytest

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import (
    DrawnBox,
    DrawnPoint,
    ObjectPrompt,
    PromptMask,
    objects_from_drawing,
)
from infer_segment_anything_2.sam2_reading.fitting import fit_regions, fit_to_image
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.prompt_text import objects_from_text, parse_regions

IMAGE_HW = (400, 600)


def no_mask(_: object) -> PromptMask:
    raise AssertionError


FRACTIONS = [
    pytest.param(objects_from_text("", "", "[0.2, 0.2, 0.6, 0.7]"), id="box"),
    pytest.param(objects_from_text("", "", "[0, 0, 1, 1]"), id="box of the whole picture"),
    pytest.param(objects_from_text("", "", "[0.6, 0.7, 0.2, 0.2]"), id="swapped box"),
    pytest.param(objects_from_text("", "", "[-0.004, 0.2, 0.6, 1.02]"), id="rounded box"),
    pytest.param(objects_from_text("", "", "[[9, 9, 50, 50], [0.2, 0.2, 1, 1]]"), id="one of two"),
    pytest.param(objects_from_text("[0.5, 0.5]", "", ""), id="point"),
    pytest.param(objects_from_text("[[0.5, 0.5], [0, 1]]", "[1, 0]", ""), id="points"),
    pytest.param(objects_from_text("[0.5, 0.5]", "", "[0.2, 0.2, 0.6, 0.7]"), id="point and box"),
    pytest.param(objects_from_text("[0.5, 0.5]", "", "[60, 50, 90, 80]"), id="point, pixel box"),
    pytest.param(
        objects_from_entries('[{"points": [[90, 80]]}, {"box": [0.1, 0.1, 0.4, 0.4]}]', no_mask),
        id="entry",
    ),
    pytest.param(objects_from_drawing([DrawnPoint((0.25, 0.75))], []), id="drawn point"),
    pytest.param(objects_from_drawing([], [DrawnBox((0.1, 0.1, 0.4, 0.4))]), id="drawn box"),
]
PIXELS = [
    pytest.param(objects_from_text("[0, 0]", "", ""), id="corner"),
    pytest.param(objects_from_text("[1.0, 1.0]", "", ""), id="its neighbour"),
    pytest.param(objects_from_text("[[0, 0], [1, 0]]", "[1, 0]", ""), id="whole numbers"),
    pytest.param(objects_from_text("[[0.5, 0.5], [90, 80]]", "[0, 1]", ""), id="not all"),
    pytest.param(
        objects_from_text("[0.5, 0.5]", "", "[0, 0, 60, 50]"), id="in a box at the corner"
    ),
    pytest.param(objects_from_text("", "", "[0, 0, 2, 2]"), id="small box"),
    pytest.param(objects_from_text("", "", "[0.2, 0.2, 0.6, 70]"), id="thin box"),
    pytest.param(objects_from_text("[1.5, 0.5]", "", ""), id="second pixel"),
]


class TestFractions:
    @pytest.mark.parametrize("asked", FRACTIONS)
    def test_are_refused(self, asked: list[ObjectPrompt]) -> None:
        with pytest.raises(PromptError, match="must be in pixels, got numbers from 0 to 1"):
            fit_to_image(asked, IMAGE_HW)

    @pytest.mark.parametrize("asked", PIXELS)
    def test_pixels_at_the_corner_are_not(self, asked: list[ObjectPrompt]) -> None:
        assert fit_to_image(asked, IMAGE_HW) == (asked, [])

    @pytest.mark.parametrize("image_hw", [(1, 1), (2, 2), (1, 600), (2, 3)])
    def test_are_pixels_of_the_smallest_pictures(self, image_hw: tuple[int, int]) -> None:
        asked = objects_from_text("[0.5, 0.5]", "", "[0, 0, 1, 1]")
        assert fit_to_image(asked, image_hw) == (asked, [])

    @pytest.mark.parametrize("wrong", [math.nan, math.inf])
    def test_a_number_that_is_none_is_told_as_such(self, wrong: float) -> None:
        with pytest.raises(PromptError, match="must be of finite numbers"):
            fit_to_image([ObjectPrompt(((0.5, wrong),), (1,))], IMAGE_HW)

    @pytest.mark.parametrize("region", ["[[0.1, 0.1], [0.9, 0.1], [0.5, 1]]", "[0, 0, 1, 1]"])
    def test_regions_of_interest_are_refused(self, region: str) -> None:
        with pytest.raises(PromptError, match="must be in pixels, got numbers from 0 to 1"):
            fit_regions(parse_regions(region), IMAGE_HW)

    def test_a_region_in_pixels_is_not(self) -> None:
        regions = parse_regions("[[0, 0], [1, 0], [5, 9]]")
        assert fit_regions(regions, IMAGE_HW) == tuple(regions)

    def test_the_message_gives_the_pixels(self) -> None:
        with pytest.raises(PromptError) as caught:
            fit_to_image(objects_from_text("", "", "[0.2, 0.2, 0.6, 0.7]"), IMAGE_HW)
        assert str(caught.value) == (
            "Box [0.2, 0.2, 0.6, 0.7] must be in pixels, got numbers from 0 to 1, as parts of the "
            "picture are; give pixels of the original picture, which is 600 wide and 400 high: "
            "[120, 80, 360, 280]?"
        )
        assert caught.value.key == "input_box"
