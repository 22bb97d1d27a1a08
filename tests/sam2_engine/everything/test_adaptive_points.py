"""Grids of which points are left out: which ones, and what is found all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pytest
import torch

from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything import adaptive_points
from infer_segment_anything_2.sam2_engine.everything.adaptive_points import (
    AdaptivePoints,
    Answers,
    cover_of,
)
from infer_segment_anything_2.sam2_engine.everything.candidates import GenerationResult
from infer_segment_anything_2.sam2_engine.everything.crops import make_point_grid
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.settings import GridSettings, TileSettings
from tests.networks import Generators
from tests.sam2_engine.everything.small_grids import PICTURE, check_equal
from tests.sam2_engine.everything.test_candidates import check_same, random_filters
from training.scenes import draw_scene

SIDE = 16
SCENE = draw_scene(7011, 256).image_hwc
PLAIN = GridSettings(points_per_side=12)
ADAPTIVE = replace(PLAIN, adaptive_points=True)
REGION = (((10.0, 10.0), (140.0, 20.0), (100.0, 95.0)),)

Mask = npt.NDArray[np.bool_]


def logits_of(mask_hw: Mask) -> torch.Tensor:
    return torch.as_tensor(np.where(mask_hw, 5.0, -5.0)[None], dtype=torch.float32)


def drawn_mask(left: int, top: int, right: int, bottom: int) -> Mask:
    mask_hw = np.zeros((64, 64), bool)
    mask_hw[top:bottom, left:right] = True
    return mask_hw


def asked_in(
    masks: list[Mask],
    best_iou: float = 0.0,
    keep: Callable[[int], bool] = lambda _: True,
    unclear: Mask | None = None,
) -> list[list[int]]:
    """The rounds in a world where each point gives the smallest mask that it lies on, or nothing.

    Args:
        masks: What is there, smallest first; 64 x 64.
        best_iou: What the network says of a mask where there is none.
        keep: Which points of the grid there are.
        unclear: Where points give no mask though they lie on one.
    """
    kept = [point for point in range(SIDE**2) if keep(point)]
    points_xy_px = make_point_grid(SIDE)[kept].astype(np.float32) * 64
    adaptive = AdaptivePoints(points_xy_px, (64, 64), SIDE, GridSettings(points_per_side=SIDE))
    rounds = []
    for asked, n_skipped in adaptive.rounds():
        assert n_skipped >= 0
        answers = []
        for x, y in points_xy_px[asked].astype(int):
            hit = next((mask for mask in masks if mask[y, x]), None)
            if unclear is not None and unclear[y, x]:
                hit = None
            answers.append(answer_of(hit, best_iou))
        adaptive.learn(asked, answers)
        rounds.append([kept[place] for place in asked])
    return rounds


def points_in(rounds: list[list[int]]) -> list[int]:
    return sorted(chain.from_iterable(rounds))


def answer_of(mask_hw: Mask | None, best_iou: float) -> Answers:
    n_masks = 0 if mask_hw is None else 1
    cover = cover_of(logits_of(np.zeros((64, 64), bool))[:0], SIDE, 0.0)
    box = np.zeros((0, 4), np.int64)
    if mask_hw is not None:
        cover = cover_of(logits_of(mask_hw), SIDE, 0.0)
        rows, columns = np.nonzero(mask_hw)
        box = np.array([[columns.min(), rows.min(), columns.max(), rows.max()]])
    return Answers(
        best_iou_n=np.array([0.9 if n_masks else best_iou], np.float32),
        point_k=np.zeros(n_masks, np.int64),
        stability_k=np.full(n_masks, 0.97, np.float32),
        is_candidate_k=np.ones(n_masks, bool),
        iou_j=np.full(n_masks, 0.9, np.float32),
        boxes_j4=box,
        cover=cover,
    )


class TestCover:
    def test_tells_cells_that_a_mask_fills_from_those_whose_middle_it_has(self) -> None:
        mask_hw = drawn_mask(0, 0, 30, 64)  # 7.5 cells of 4 wide
        mask_hw[4, 4] = False  # a hole beside the middle of a cell
        cover = cover_of(logits_of(mask_hw), SIDE, 0.0)
        inside, whole = (
            np.unpackbits(bits, axis=1).reshape(SIDE, SIDE).astype(bool)
            for bits in (cover.inside_kc, cover.whole_kc)
        )
        assert np.array_equal(inside, np.arange(SIDE)[None] < np.full((SIDE, 1), 7))
        assert np.argwhere(inside & ~whole).tolist() == [[1, 1]]
        assert cover.size_k.tolist() == [30 * 64 - 1]

    def test_is_above_the_mask_threshold(self) -> None:
        logits = torch.full((1, 64, 64), 0.5)
        assert not cover_of(logits, SIDE, 0.5).inside_kc.any()
        assert cover_of(logits, SIDE, 0.4).whole_kc.all()


class TestRounds:
    def test_ask_every_point_once_where_all_are_near_misses(self) -> None:
        rounds = asked_in([], best_iou=0.78)
        assert points_in(rounds) == list(range(SIDE**2))
        assert [len(some) for some in rounds] == [16, 16, 32, 64, 128]
        assert all(some == sorted(some) for some in rounds)

    def test_ask_no_more_where_one_mask_is_everything(self) -> None:
        rounds = asked_in([np.ones((64, 64), bool)])
        assert [len(some) for some in rounds] == [16, 0, 0, 0, 0]

    def test_leave_out_some_where_nothing_is(self) -> None:
        rounds = asked_in([])
        assert [len(some) for some in rounds[:4]] == [16, 16, 32, 64]
        # Corners, near which too few were asked.
        assert len(points_in(rounds)) < 2 * 64 + SIDE

    def test_ask_all_points_of_a_mask_that_few_points_gave(self) -> None:
        small = drawn_mask(8, 8, 20, 16)  # 3 x 2 cells
        asked = set(points_in(asked_in([small, ~small])))
        assert asked >= {row * SIDE + column for row in (2, 3) for column in (2, 3, 4)}
        assert len(asked) < SIDE**2 / 2

    def test_ask_along_the_edge_of_a_mask(self) -> None:
        half = drawn_mask(0, 0, 30, 64)  # its edge runs through the cells of column 7
        asked = set(points_in(asked_in([half, np.ones((64, 64), bool)])))
        cut = drawn_mask(0, 0, 31, 64)
        cut_asked = set(points_in(asked_in([cut, np.ones((64, 64), bool)])))
        column_7 = {row * SIDE + 7 for row in range(SIDE)}
        assert len(asked & column_7) < SIDE
        assert column_7 <= cut_asked

    def test_ask_where_a_point_on_a_mask_came_near_another(self) -> None:
        everything, coin = np.ones((64, 64), bool), drawn_mask(24, 24, 40, 40)
        of_coin = {row * SIDE + column for row in range(6, 10) for column in range(6, 10)}
        around_8_8 = {row * SIDE + column for row in (7, 8, 9) for column in (7, 8, 9)}
        near = set(points_in(asked_in([everything], best_iou=0.65, unclear=coin)))
        far = set(points_in(asked_in([everything], best_iou=0.55, unclear=coin)))
        assert near >= around_8_8
        assert far & of_coin == {8 * SIDE + 8}

    def test_ask_points_that_have_no_neighbours(self) -> None:
        rounds = asked_in([], keep=lambda point: point in (0, 7, 200))
        assert points_in(rounds) == [0, 7, 200]

    def test_are_not_changed_by_a_finer_grid_than_is_kept(self) -> None:
        side = 2 * adaptive_points._MOST_CELLS_PER_SIDE
        cover = cover_of(torch.ones(1, 64, 64), side, 0.0)
        assert cover.whole_kc.nbytes * 8 == adaptive_points._MOST_CELLS_PER_SIDE**2


def share_found(found: GenerationResult, whole: GenerationResult) -> float:
    """The part of the masks of a whole grid that are there with a mask IoU of at least 0.9."""
    mine, theirs = (
        one.masks.to_dense().reshape(len(one.masks), -1).astype(np.float32)
        for one in (found, whole)
    )
    common = theirs @ mine.T
    iou = common / (theirs.sum(axis=1)[:, None] + mine.sum(axis=1) - common)
    return float((iou.max(axis=1) >= 0.9).mean())


@pytest.fixture(scope="module")
def whole(nano: Generators) -> GenerationResult:
    return nano.ours(SCENE, PLAIN)


@pytest.fixture(scope="module")
def part(nano: Generators) -> GenerationResult:
    return nano.ours(SCENE, ADAPTIVE)


class TestSearch:
    def test_finds_nearly_all_with_fewer_points(
        self, part: GenerationResult, whole: GenerationResult
    ) -> None:
        assert part.filter_counts.points < 0.7 * whole.filter_counts.points
        assert len(whole.masks) >= 10
        assert share_found(part, whole) >= 0.9

    def test_says_how_many_points_were_left_out(
        self, part: GenerationResult, whole: GenerationResult
    ) -> None:
        counts = part.filter_counts
        assert counts.points + counts.skipped == 144
        assert counts.proposed == 3 * counts.points
        assert str(counts).startswith(
            f"{counts.points} points ({counts.skipped} more were skipped)"
        )
        assert whole.filter_counts.skipped == 0
        assert "skipped" not in str(whole.filter_counts)

    @pytest.mark.parametrize("points_per_batch", [1, 5, 1000])
    def test_does_not_depend_on_the_batch(
        self, nano: Generators, part: GenerationResult, points_per_batch: int
    ) -> None:
        other = nano.ours(SCENE, replace(ADAPTIVE, points_per_batch=points_per_batch))
        check_equal(other.masks, part.masks)
        assert other.filter_counts == part.filter_counts

    def test_does_not_depend_on_the_threads(self, nano: Generators, part: GenerationResult) -> None:
        before = torch.get_num_threads()
        try:
            for n_threads in (1, 3):
                torch.set_num_threads(n_threads)
                other = nano.ours(SCENE, ADAPTIVE)
                check_equal(other.masks, part.masks)
                assert other.filter_counts == part.filter_counts
        finally:
            torch.set_num_threads(before)

    def test_is_the_whole_grid_where_nothing_may_be_left_out(
        self, nano: Generators, whole: GenerationResult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adaptive_points, "_LEAST_VOTES", 10**6)
        monkeypatch.setattr(adaptive_points, "_LEAST_NEIGHBOURS", 10**6)
        every = nano.ours(SCENE, ADAPTIVE)
        check_equal(every.masks, whole.masks)
        assert every.filter_counts == whole.filter_counts

    def test_asks_all_own_points(self, nano: Generators) -> None:
        own = replace(PLAIN, point_grids=(make_point_grid(4)[:7],))
        check_same(nano.ours(SCENE, replace(own, adaptive_points=True)), nano.ours(SCENE, own))

    def test_counts_left_out_points_as_done(self, nano: Generators) -> None:
        told: list[tuple[int, int]] = []
        settings = replace(ADAPTIVE, crop_n_layers=1, crop_n_points_downscale_factor=2)
        result = nano.ours(SCENE, settings, lambda *step: told.append(step))
        total = 144 + 4 * 36
        assert result.filter_counts.points < total
        assert {of for _, of in told} == {total}
        assert told[-1] == (total, total)
        assert told == sorted(told)


@pytest.fixture(scope="module")
def engines() -> tuple[Engine, Engine]:
    """One that keeps what it found, and one that keeps nothing."""
    model = load_model("sam2_demo_nano", device=torch.device("cpu"))
    return Engine(model, searches_wide=True), Engine(model, candidate_bytes=0)


class TestKeptCandidates:
    @pytest.mark.parametrize(
        ("settings", "tiles"),
        [
            pytest.param(replace(ADAPTIVE, points_per_side=6), None, id="a grid"),
            pytest.param(replace(ADAPTIVE, region_of_interest=REGION), None, id="a region"),
            pytest.param(
                replace(ADAPTIVE, points_per_side=5, use_m2m=True, multimask_output=False),
                None,
                id="m2m",
            ),
            pytest.param(
                replace(
                    ADAPTIVE,
                    points_per_side=6,
                    crop_n_layers=1,
                    crop_n_points_downscale_factor=2,
                ),
                None,
                id="crops",
                marks=pytest.mark.slow,
            ),
            pytest.param(
                replace(ADAPTIVE, points_per_side=5),
                TileSettings(80, 0.25),
                id="tiles",
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_equal_a_fresh_run(
        self,
        engines: tuple[Engine, Engine],
        settings: GridSettings,
        tiles: TileSettings | None,
    ) -> None:
        keeping, keeping_nothing = engines
        for asked, cleaning in random_filters(settings, seed=len(str(settings)), n=3):
            # Once with the thresholds of the search, once with others.
            for thresholds in (asked, settings):
                wanted = replace(
                    asked,
                    pred_iou_thresh=thresholds.pred_iou_thresh,
                    stability_score_thresh=thresholds.stability_score_thresh,
                )
                check_same(
                    keeping.generate(PICTURE, wanted, tiles=tiles, cleaning=cleaning),
                    keeping_nothing.generate(PICTURE, wanted, tiles=tiles, cleaning=cleaning),
                )

    def test_answer_other_rules_of_duplicates_only(self, engines: tuple[Engine, Engine]) -> None:
        kept = engines[1].candidates(PICTURE, replace(ADAPTIVE, points_per_side=4).widened())
        assert kept.settings.pred_iou_thresh == ADAPTIVE.pred_iou_thresh
        mine = kept.settings
        assert kept.serves(
            replace(mine, box_nms_thresh=0.3, crop_nms_thresh=0.4, duplicates="mask")
        )
        for other in (
            replace(mine, pred_iou_thresh=0.7),
            replace(mine, stability_score_thresh=0.9),
            replace(mine, stability_score_offset=0.5),
            replace(mine, adaptive_points=False),
        ):
            assert not kept.serves(other)
