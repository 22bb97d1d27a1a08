"""Questions in windows: asked once more where the window cuts the answer, and put back as runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.prompted.looking import (
    Look,
    Looking,
    Seen,
    mask_in_window,
)
from infer_segment_anything_2.sam2_engine.prompted.windows import Window
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings

HEIGHT, WIDTH = 240, 320
ROWS, COLUMNS = np.indices((HEIGHT, WIDTH))
DISC = np.hypot(ROWS - 120, COLUMNS - 160) < 60
ON_THE_DISC = ObjectPrompt(points_xy_px=((125.0, 120.0),))


def draw_disc() -> np.ndarray:
    """A bright disc on a dark, slightly noisy ground."""
    picture = np.random.default_rng(0).integers(20, 40, (HEIGHT, WIDTH, 3))
    picture[DISC] += np.array([180, 150, 40])
    return picture.astype(np.uint8)


PICTURE = draw_disc()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_model("sam2_demo_nano", device=torch.device("cpu")))


def asked(engine: Engine, *windows: Window) -> list[Seen]:
    """All answers about the disc in some windows."""
    looking = Looking(
        engine._decoder,
        lambda window_hwc, remember: engine.embed(window_hwc, remember=remember),
        PICTURE,
        PredictionSettings(),
    )
    looks = [Look(index, (0,), ON_THE_DISC, window) for index, window in enumerate(windows)]
    return [seen for all_seen in looking.ask(looks) for seen in all_seen]


class TestAWindowThatCutsItsMask:
    CUTS_RIGHT = Window((90, 50, 210, 190))

    def test_grows_there_and_is_asked_once_more(self, engine: Engine) -> None:
        first, second = asked(engine, self.CUTS_RIGHT)
        assert first.is_cut and not first.is_last
        assert second.look.before == self.CUTS_RIGHT
        assert second.look.window == Window((90, 50, 270, 190))
        assert not second.is_cut and second.is_last
        drawn = second.masks_of_rank[0].rles[0].decode()
        assert (drawn & DISC).sum() > 0.9 * (drawn | DISC).sum()

    def test_is_answered_then_as_in_the_larger_cut_out(self, engine: Engine) -> None:
        _, second = asked(engine, self.CUTS_RIGHT)
        left, top, right, bottom = second.look.window.box_xyxy_px
        ((x, y),) = ON_THE_DISC.points_xy_px
        plain = engine.predict(
            engine.embed(PICTURE[top:bottom, left:right]),
            [ObjectPrompt(points_xy_px=((x - left, y - top),))],
        ).ranked[0]
        whole = np.zeros((HEIGHT, WIDTH), bool)
        whole[top:bottom, left:right] = plain.rles[0].decode()
        np.testing.assert_array_equal(second.masks_of_rank[0].rles[0].decode(), whole)

    def test_is_not_asked_a_third_time(self, engine: Engine) -> None:
        first, second = asked(engine, Window((100, 90, 150, 150)))
        assert first.is_cut
        assert second.is_cut and second.is_last

    def test_is_asked_after_all_others(self, engine: Engine) -> None:
        all_seen = asked(engine, self.CUTS_RIGHT, Window((60, 20, 260, 220)))
        assert [seen.look.index for seen in all_seen] == [0, 1, 0]


class TestAMaskPrompt:
    @given(st.data())
    def test_of_any_size_comes_along_as_it_lies_in_the_window(self, data: st.DataObject) -> None:
        rows, columns, times = (data.draw(st.integers(1, 6)) for _ in range(3))
        bits = data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
        mask_hw = np.array(bits).reshape(rows, columns)
        picture_hw = np.kron(mask_hw, np.ones((times, times), bool))
        height, width = picture_hw.shape
        left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        right = data.draw(st.integers(left + 1, width))
        bottom = data.draw(st.integers(top + 1, height))
        cut_hw = picture_hw[top:bottom, left:right]
        found = mask_in_window(
            PromptMask(mask_hw), Window((left, top, right, bottom)), (height, width)
        )
        assert (found is None) == (not cut_hw.any())
        if found is not None:
            np.testing.assert_array_equal(found.mask_hw, cut_hw)
