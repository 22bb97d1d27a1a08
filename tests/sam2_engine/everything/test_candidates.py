"""Kept candidates, filtered again, against fresh searches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything import generation
from infer_segment_anything_2.sam2_engine.everything.candidates import GenerationResult, search_key
from infer_segment_anything_2.sam2_engine.masks.worked_out import WorkedOut
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    GridSettings,
    TileSettings,
)
from tests.sam2_engine.everything.small_grids import PICTURE

GRID = GridSettings(points_per_side=5, points_per_batch=5)
REGION = (((10.0, 10.0), (140.0, 20.0), (100.0, 95.0)),)

SEARCHES = [
    pytest.param(GRID, None, id="three masks"),
    pytest.param(replace(GRID, multimask_output=False), None, id="single masks"),
    pytest.param(
        replace(GRID, multimask_output=False, prefer_stable=False), None, id="single masks only"
    ),
    pytest.param(replace(GRID, points_per_side=3, use_m2m=True), None, id="m2m"),
    pytest.param(
        replace(GRID, crop_n_layers=1, points_per_side=4, crop_n_points_downscale_factor=2),
        None,
        id="crops",
    ),
    pytest.param(replace(GRID, points_per_side=2), TileSettings(80, 0.25), id="tiles"),
    pytest.param(replace(GRID, region_of_interest=REGION), None, id="a region"),
]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("sam2_demo_nano", device=torch.device("cpu"))


@pytest.fixture
def keeping_nothing(model: LoadedModel) -> Engine:
    return Engine(model, candidate_bytes=0)


def random_filters(
    settings: GridSettings, seed: int, n: int
) -> Iterator[tuple[GridSettings, CleaningSettings]]:
    """Settings that differ in what acts on masks that are there."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        rule = rng.choice(["box", "box", "mask", "containment"])
        yield (
            replace(
                settings,
                pred_iou_thresh=float(rng.choice([0, rng.uniform(0, 0.9)])),
                stability_score_thresh=float(rng.choice([0, rng.uniform(0, 1)])),
                box_nms_thresh=float(rng.uniform(0.2, 1)),
                crop_nms_thresh=float(rng.uniform(0.2, 1)),
                duplicates=rule,
            ),
            CleaningSettings(
                min_mask_region_area=int(rng.choice([0, 0, 15])),
                keep_components=rng.choice(["all", "largest", "clicked"]),
                min_mask_area=int(rng.choice([0, 40])),
                max_mask_area=int(rng.choice([0, 9000])),
                duplicates=rule,
                duplicate_thresh=0.8,
                overlap=rng.choice(["keep", "smallest_on_top", "highest_score"]),
            ),
        )


def check_same(found: GenerationResult, expected: GenerationResult) -> None:
    """The same, bit for bit."""
    assert found.filter_counts == expected.filter_counts
    assert found.masks.rles == expected.masks.rles
    for name in (
        "boxes_xyxy_px",
        "predicted_iou",
        "stability_score",
        "points_xy_px",
        "crop_boxes_xywh_px",
        "object_index",
    ):
        mine, theirs = getattr(found.masks, name), getattr(expected.masks, name)
        assert mine.tobytes() == theirs.tobytes(), name


class TestFiltered:
    @pytest.mark.parametrize(("settings", "tiles"), SEARCHES)
    def test_equals_a_fresh_run(
        self, keeping_nothing: Engine, settings: GridSettings, tiles: TileSettings | None
    ) -> None:
        every = replace(settings, pred_iou_thresh=0.0, stability_score_thresh=0.0)
        kept = keeping_nothing.candidates(PICTURE, every, tiles=tiles)
        sizes = set()
        for asked, cleaning in random_filters(settings, seed=len(str(settings)), n=4):
            assert kept.serves(asked)
            fresh = keeping_nothing.generate(PICTURE, asked, tiles=tiles, cleaning=cleaning)
            check_same(kept.filtered(asked, cleaning), fresh)
            sizes.add(len(fresh.masks))
        assert len(sizes) > 1

    @pytest.mark.parametrize(
        ("settings", "tiles"),
        [
            pytest.param(GRID, None, id="three masks"),
            pytest.param(replace(GRID, crop_n_layers=1, points_per_side=2), None, id="crops"),
            pytest.param(replace(GRID, points_per_side=2), TileSettings(80, 0.25), id="tiles"),
        ],
    )
    def test_with_what_earlier_ones_worked_out_equals_working_it_out_anew(
        self, keeping_nothing: Engine, settings: GridSettings, tiles: TileSettings | None
    ) -> None:
        every = replace(settings, pred_iou_thresh=0.0, stability_score_thresh=0.0)
        kept = keeping_nothing.candidates(PICTURE, every, tiles=tiles)
        empty = kept.nbytes
        for asked, cleaning in random_filters(settings, seed=7, n=40):
            anew = replace(kept, worked_out=WorkedOut())
            check_same(kept.filtered(asked, cleaning), anew.filtered(asked, cleaning))
        assert kept.worked_out.shared.nbytes > 0
        assert kept.worked_out.reshaped.nbytes > 0
        assert kept.nbytes > empty

    def test_equals_a_fresh_run_also_where_no_logits_fit(
        self, keeping_nothing: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh = keeping_nothing.generate(PICTURE, GRID)
        monkeypatch.setattr(generation, "_MOST_WAITING_BYTES", 0)
        check_same(keeping_nothing.candidates(PICTURE, GRID.widened()).filtered(GRID), fresh)

    @pytest.mark.parametrize("offset", [0.0, 0.4, 2.5])
    def test_equals_a_fresh_run_at_another_offset(
        self, keeping_nothing: Engine, offset: float
    ) -> None:
        kept = keeping_nothing.candidates(PICTURE, GRID.widened())
        asked = replace(GRID, stability_score_offset=offset, stability_score_thresh=0.6)
        check_same(kept.filtered(asked), keeping_nothing.generate(PICTURE, asked))
        check_same(kept.filtered(GRID), keeping_nothing.generate(PICTURE, GRID))

    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param(replace(GRID, pred_iou_thresh=0.49), id="a lower predicted IoU"),
            pytest.param(replace(GRID, stability_score_thresh=0.7), id="a lower stability"),
            pytest.param(
                replace(GRID, stability_score_offset=0.5), id="an offset, where masks are gone"
            ),
            pytest.param(replace(GRID, points_per_side=3), id="another grid"),
            pytest.param(replace(GRID, mask_threshold=0.5), id="another mask_threshold"),
            pytest.param(replace(GRID, region_of_interest=REGION), id="a region"),
        ],
    )
    def test_refuses_what_needs_another_search(
        self, keeping_nothing: Engine, asked: GridSettings
    ) -> None:
        floors = replace(GRID, pred_iou_thresh=0.5, stability_score_thresh=0.94)
        kept = keeping_nothing.candidates(PICTURE, floors)
        assert not kept.serves(asked)
        with pytest.raises(ValueError, match=r"^Kept candidates answer settings that filter"):
            kept.filtered(asked)


class TestSearchKey:
    def test_tells_own_grids_apart(self) -> None:
        grids = [np.array([[0.5, 0.5]]), np.array([[0.5, 0.6]])]
        keys = {search_key(replace(GRID, point_grids=(grid,))) for grid in grids}
        assert len(keys) == 2


class CountedSearches:
    """How many points an engine asked."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        search = engine.candidates

        def counted(*arguments: object, **options: object) -> object:
            self.count += 1
            return search(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(engine, "candidates", counted)


class TestEngine:
    def test_searches_once_for_thresholds_that_only_rise(
        self, model: LoadedModel, keeping_nothing: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = Engine(model)
        searches = CountedSearches(engine, monkeypatch)
        for iou in (0.4, 0.5, 0.6):
            asked = replace(GRID, pred_iou_thresh=iou, stability_score_thresh=0.5 + iou / 2)
            check_same(engine.generate(PICTURE, asked), keeping_nothing.generate(PICTURE, asked))
        assert searches.count == 1

    def test_searches_twice_for_thresholds_that_fall(
        self, model: LoadedModel, keeping_nothing: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = Engine(model)
        searches = CountedSearches(engine, monkeypatch)
        for iou in (0.8, 0.7, 0.6, 0.5):
            asked = replace(GRID, pred_iou_thresh=iou, stability_score_thresh=iou)
            check_same(engine.generate(PICTURE, asked), keeping_nothing.generate(PICTURE, asked))
        assert searches.count == 2

    def test_searches_anew_for_another_picture_size_or_tiling(
        self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = Engine(model)
        searches = CountedSearches(engine, monkeypatch)
        one_pixel_changed = PICTURE.copy()
        one_pixel_changed[3, 3, 0] ^= 1
        coarse = replace(GRID, points_per_side=2)
        engine.generate(PICTURE, coarse)
        engine.generate(one_pixel_changed, coarse)
        engine.generate(PICTURE, coarse, input_size_percent=50)
        engine.generate(PICTURE, coarse, tiles=TileSettings(100))
        assert searches.count == 4

    def test_keeps_no_more_than_it_may(
        self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = Engine(model, candidate_bytes=1000)
        searches = CountedSearches(engine, monkeypatch)
        engine.generate(PICTURE, GRID)
        engine.generate(PICTURE, GRID)
        assert searches.count == 2

    def test_tells_that_all_is_done_when_it_need_not_search(self, model: LoadedModel) -> None:
        engine = Engine(model)
        engine.generate(PICTURE, GRID)
        told: list[tuple[int, int]] = []
        engine.generate(PICTURE, GRID, on_progress=lambda *step: told.append(step))
        assert told == [(25, 25)]
