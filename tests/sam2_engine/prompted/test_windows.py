"""Where windows lie: around their object, in the picture, on a raster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer_segment_anything_2.sam2_engine.prompted.windows import (
    Window,
    cut_sides,
    grown,
    is_small,
    window_around,
)

Box = tuple[float, float, float, float]
Size = tuple[int, int]


@st.composite
def boxes_in_pictures(draw: st.DrawFn) -> tuple[Box, Size]:
    """Any box of any picture, at its borders too."""
    height, width = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
    xs = sorted(draw(st.tuples(*[st.floats(0, width, allow_subnormal=False)] * 2)))
    ys = sorted(draw(st.tuples(*[st.floats(0, height, allow_subnormal=False)] * 2)))
    return (xs[0], ys[0], xs[1], ys[1]), (height, width)


class TestWindowAround:
    @given(boxes_in_pictures())
    def test_lies_in_the_picture_and_holds_the_box(self, case: tuple[Box, Size]) -> None:
        box, image_hw = case
        left, top, right, bottom = window_around(box, image_hw).box_xyxy_px
        assert 0 <= left < right <= image_hw[1]
        assert 0 <= top < bottom <= image_hw[0]
        assert left <= box[0] and top <= box[1]
        assert box[2] <= right and box[3] <= bottom

    @given(boxes_in_pictures())
    def test_is_about_twice_as_long_as_the_box(self, case: tuple[Box, Size]) -> None:
        box, image_hw = case
        height, width = window_around(box, image_hw).hw
        longest = max(box[2] - box[0], box[3] - box[1], 16)
        assert max(height, width) <= 2.2 * longest
        for length, side, limit in ((width, 0, image_hw[1]), (height, 1, image_hw[0])):
            assert length >= min(limit, 1.8 * (box[side + 2] - box[side]))

    @given(boxes_in_pictures())
    def test_leaves_room_around_the_box_but_at_the_border(self, case: tuple[Box, Size]) -> None:
        box, image_hw = case
        window = window_around(box, image_hw).box_xyxy_px
        room = min(box[2] - box[0], box[3] - box[1]) / 16
        for side in (0, 1):
            limit = image_hw[1 - side]
            assert window[side] == 0 or box[side] - window[side] >= room
            assert window[side + 2] == limit or window[side + 2] - box[side + 2] >= room

    def test_is_the_same_for_nearly_the_same_box(self) -> None:
        windows = {window_around((200 + d, 300, 400, 420 + d), (2000, 3000)) for d in range(4)}
        assert len(windows) == 1

    def test_moves_into_the_picture_instead_of_being_cut(self) -> None:
        window = window_around((0, 0, 64, 64), (1000, 1000))
        assert window.box_xyxy_px == (0, 0, 128, 128)

    def test_of_a_thin_box_is_at_most_twice_as_long_as_wide(self) -> None:
        height, width = window_around((100, 500, 900, 510), (2000, 2000)).hw
        assert 1.9 <= width / height <= 2.1


class TestGrown:
    def test_moves_the_cut_sides_only(self) -> None:
        window = Window((100, 100, 200, 180))
        sides = cut_sides((0, 10, 99, 70), window, (1000, 1000))
        assert sides == (True, False, True, False)
        assert grown(window, sides, (1000, 1000)).box_xyxy_px == (50, 100, 250, 180)

    def test_stays_in_the_picture(self) -> None:
        window = Window((10, 0, 110, 100))
        assert grown(window, (True,) * 4, (120, 115)).box_xyxy_px == (0, 0, 115, 120)

    def test_nothing_is_cut_at_the_border_of_the_picture(self) -> None:
        window = Window((0, 0, 100, 100))
        assert not any(cut_sides((0, 0, 99, 99), window, (100, 100)))


@pytest.mark.parametrize(("box", "small"), [((0, 0, 50, 50), True), ((0, 0, 50, 51), False)])
def test_small_is_what_takes_at_most_a_quarter_of_either_side(box: Box, small: bool) -> None:
    assert is_small(box, (200, 400)) is small
