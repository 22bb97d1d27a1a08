"""Prompts and the borders of a picture."""

from __future__ import annotations

import math

import pytest

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import (
    DrawnBox,
    DrawnPoint,
    ObjectPrompt,
    objects_from_drawing,
)
from infer_segment_anything_2.sam2_reading.fitting import fit_to_image
from infer_segment_anything_2.sam2_reading.prompt_text import objects_from_text

IMAGE_HW = (100, 200)
NEVER = float("nan")


class TestFitToImage:
    def test_what_lies_inside_stays_as_it_is(self) -> None:
        asked = objects_from_text("[[0, 0], [200, 100], [5.25, 7]]", "", "[0, 0, 200, 100]")
        assert fit_to_image(asked, IMAGE_HW) == (asked, [])

    def test_swapped_corners_are_put_right(self) -> None:
        (prompt,), notes = fit_to_image(objects_from_text("", "", "[30, 40, 10, 20]"), IMAGE_HW)
        assert prompt.box_xyxy_px == (10, 20, 30, 40)
        assert notes == ["Box [30, 40, 10, 20] had its corners swapped; taken as [10, 20, 30, 40]."]

    def test_box_partly_outside_is_clipped(self) -> None:
        (prompt,), notes = fit_to_image(objects_from_text("", "", "[-5, 20, 999, 40]"), IMAGE_HW)
        assert prompt.box_xyxy_px == (0, 20, 200, 40)
        assert notes == [
            "Box [-5, 20, 999, 40] reaches beyond the picture of 200x100; clipped to "
            "[0, 20, 200, 40]."
        ]

    def test_point_within_a_pixel_outside_is_moved(self) -> None:
        (prompt,), notes = fit_to_image(objects_from_text("[200.5, -0.5]", "", ""), IMAGE_HW)
        assert prompt.points_xy_px == ((200, 0),)
        assert len(notes) == 1

    def test_objects_own_facts_are_kept(self) -> None:
        drawn = objects_from_drawing(
            [DrawnPoint((5, 5), "negative")], [DrawnBox((0, 0, 9, 9), "a")]
        )
        assert fit_to_image(drawn, IMAGE_HW) == (drawn, [])

    @pytest.mark.parametrize(
        ("prompt", "message"),
        [
            pytest.param(
                ObjectPrompt(((300, 50),), (1,)),
                "Point [300, 50] lies outside the picture, which is 200 wide and 100 high; give x, "
                "y in pixels of the original picture.",
                id="point outside",
            ),
            pytest.param(
                ObjectPrompt(box_xyxy_px=(300, 20, 310, 40)),
                "Box [300, 20, 310, 40] lies outside the picture, which is 200 wide and 100 high; "
                "give left, top, right, bottom in pixels of the original picture.",
                id="box outside",
            ),
            pytest.param(
                ObjectPrompt(box_xyxy_px=(200, 20, 210, 40)),
                "Box [200, 20, 210, 40] lies outside the picture, which is 200 wide and 100 high; "
                "give left, top, right, bottom in pixels of the original picture.",
                id="box beside",
            ),
            pytest.param(
                ObjectPrompt(box_xyxy_px=(10, 20, 10, 40)),
                "Box [10, 20, 10, 40] has no area; give left, top, right, bottom in pixels, such "
                "as [425, 600, 700, 875] or [[425, 600, 700, 875], [20, 30, 90, 80]].",
                id="box without area",
            ),
            pytest.param(
                ObjectPrompt(((NEVER, 1),), (1,)),
                "Point [nan, 1] must be of finite numbers; give x, y in pixels, such as "
                "[[500, 375]] or [[500, 375], [610, 420]].",
                id="NaN point",
            ),
            pytest.param(
                ObjectPrompt(box_xyxy_px=(0, 0, math.inf, 9)),
                "Box [0, 0, inf, 9] must be of finite numbers; give left, top, right, bottom in "
                "pixels, such as [425, 600, 700, 875] or [[425, 600, 700, 875], [20, 30, 90, 80]].",
                id="infinite box",
            ),
        ],
    )
    def test_refuses(self, prompt: ObjectPrompt, message: str) -> None:
        with pytest.raises(PromptError) as caught:
            fit_to_image([prompt], IMAGE_HW)
        assert str(caught.value) == message

    @pytest.mark.parametrize("side", range(4))
    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
    def test_no_coordinate_of_a_box_may_be_infinite_or_nan(self, side: int, wrong: float) -> None:
        box = [10.0, 20.0, 30.0, 40.0]
        box[side] = wrong
        with pytest.raises(PromptError, match="must be of finite numbers"):
            fit_to_image([ObjectPrompt(box_xyxy_px=(box[0], box[1], box[2], box[3]))], IMAGE_HW)
