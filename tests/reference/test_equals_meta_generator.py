"""The automatic mode against Meta's own generator, on the same weights and pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything.candidates import GenerationResult
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.settings import GridSettings, OnProgress
from tests.blobs import blob_network
from tests.networks import Generators, Image, differences, nano_network

LANDSCAPE: Image = np.ascontiguousarray(data.coffee()[::2, ::2])  # 200 x 300
PORTRAIT: Image = np.ascontiguousarray(LANDSCAPE[:, 60:191])  # 200 x 131
TINY: Image = np.ascontiguousarray(LANDSCAPE[100:141, 100:153])  # 41 x 53, smaller than the logits
PIXEL: Image = np.ascontiguousarray(LANDSCAPE[100:101, 100:101])
FLAT: Image = np.full((90, 120, 3), 128, np.uint8)  # all masks alike: many ties

BORDER_POINTS = np.array(
    [[0, 0], [1, 1], [0, 1], [0.5, 0], [1, 0.5], [0.003, 0.997], [0.5, 0.5], [0.5, 0.5]]
)
GRID = GridSettings(points_per_side=5, points_per_batch=10)

CASES = [
    pytest.param(LANDSCAPE, GRID, id="plain grid"),
    pytest.param(PORTRAIT, GRID, id="portrait"),
    pytest.param(TINY, GRID, id="tiny picture"),
    # Of duplicates without an area Meta keeps all, we one.
    pytest.param(PIXEL, replace(GRID, points_per_side=2, box_nms_thresh=1.0), id="one pixel"),
    pytest.param(FLAT, replace(GRID, box_nms_thresh=0.95), id="ties"),
    pytest.param(LANDSCAPE, replace(GRID, multimask_output=False), id="single masks"),
    pytest.param(
        LANDSCAPE,
        replace(GRID, multimask_output=False, prefer_stable=False),
        id="single masks, stable or not",
    ),
    pytest.param(LANDSCAPE, replace(GRID, use_m2m=True, points_per_side=3), id="m2m"),
    pytest.param(
        PORTRAIT,
        replace(GRID, use_m2m=True, multimask_output=False),
        id="m2m of single masks",
    ),
    pytest.param(LANDSCAPE, replace(GRID, mask_threshold=-0.6), id="lower mask threshold"),
    pytest.param(LANDSCAPE, replace(GRID, mask_threshold=1.3), id="higher mask threshold"),
    pytest.param(LANDSCAPE, replace(GRID, stability_score_offset=0.4), id="other offset"),
    pytest.param(LANDSCAPE, replace(GRID, box_nms_thresh=0.3), id="stricter suppression"),
    pytest.param(
        LANDSCAPE,
        replace(GRID, point_grids=(BORDER_POINTS,), points_per_batch=3),
        id="points on the border and twice",
    ),
    pytest.param(
        LANDSCAPE,
        replace(GRID, crop_n_layers=1, crop_n_points_downscale_factor=2),
        id="crops of one layer",
    ),
    pytest.param(
        PORTRAIT,
        replace(GRID, points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=2),
        id="crops of two layers",
    ),
]


@pytest.fixture(scope="module")
def nano() -> Generators:
    return Generators(nano_network())


class FromCheckpoint(Generators):
    """Ours as users have it: weights from a file, and an engine that remembers pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__(blob_network())
        torch.save({"model": self.network.state_dict()}, path)
        self._engine = Engine(
            load_model("sam2.1_hiera_tiny", str(path), device=torch.device("cpu"))
        )

    def ours(
        self, image_rgb_hwc: Image, settings: GridSettings, on_progress: OnProgress | None = None
    ) -> GenerationResult:
        return self._engine.generate(image_rgb_hwc, settings, on_progress=on_progress)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Generators:
    return FromCheckpoint(tmp_path_factory.mktemp("weights") / "official.pt")


class TestOnTheBundledNetwork:
    @pytest.mark.parametrize(("image", "settings"), CASES)
    def test_finds_the_same_masks(
        self, nano: Generators, image: Image, settings: GridSettings
    ) -> None:
        settings = nano.with_thresholds(image, settings, kept_by_each=0.6)
        ours = nano.ours(image, settings)
        assert not differences(ours.masks, nano.meta(image, settings))
        assert 0 < ours.filter_counts.after_iou < ours.filter_counts.proposed
        assert len(ours.masks) > 0

    def test_finds_the_same_masks_without_any_filter(self, nano: Generators) -> None:
        settings = replace(
            GRID,
            points_per_side=3,
            pred_iou_thresh=0.0,
            stability_score_thresh=0.0,
            box_nms_thresh=1.0,
            mask_threshold=25.0,  # so that some masks are empty and their stability is 0 / 0
        )
        ours = nano.ours(PORTRAIT, settings)
        assert not differences(ours.masks, nano.meta(PORTRAIT, settings))
        assert np.isnan(ours.masks.stability_score).any()

    @pytest.mark.parametrize(
        "settings",
        [
            pytest.param(replace(GRID, pred_iou_thresh=2.0), id="no predicted IoU"),
            pytest.param(replace(GRID, stability_score_thresh=2.0), id="no stability"),
            pytest.param(replace(GRID, use_m2m=True, pred_iou_thresh=2.0), id="m2m"),
        ],
    )
    def test_finds_nothing_where_nothing_passes(
        self, nano: Generators, settings: GridSettings
    ) -> None:
        settings = replace(settings, points_per_side=2)
        assert nano.meta(TINY, settings) == []
        assert len(nano.ours(TINY, settings).masks) == 0


@pytest.mark.slow
class TestOnAnOfficialCheckpoint:
    @pytest.mark.parametrize(("image", "settings"), CASES)
    def test_finds_the_same_masks(
        self, official: Generators, image: Image, settings: GridSettings
    ) -> None:
        settings = replace(settings, points_per_side=min(settings.points_per_side, 4))
        settings = official.with_thresholds(image, settings, kept_by_each=0.6)
        ours = official.ours(image, settings)
        assert not differences(ours.masks, official.meta(image, settings))
        assert 0 < ours.filter_counts.after_iou < ours.filter_counts.proposed
        assert len(ours.masks) > 0


class TestThreads:
    def test_do_not_change_masks_and_order(
        self, nano: Generators, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = nano.with_thresholds(LANDSCAPE, GRID, kept_by_each=0.7)
        results = []
        for n_threads in (1, 3):
            monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
            results.append(nano.ours(LANDSCAPE, settings).masks)
        assert results[0].rles == results[1].rles
        # Some processors' libraries divide a product by the number of threads, and so round.
        assert results[0].predicted_iou == pytest.approx(results[1].predicted_iou, abs=1e-5)
