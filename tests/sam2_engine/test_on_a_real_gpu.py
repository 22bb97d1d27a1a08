"""What only a real GPU can show; without one all of it is skipped."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.tracing import counts_from_logits
from infer_segment_anything_2.sam2_engine.masks.tracing_in_bulk import counts_in_bulk
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from infer_segment_anything_2.sam2_engine.network.casting import cast_encoder
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Generators, Image, differences, nano_network
from tests.sam2_engine.everything.small_grids import check_equal
from tests.sam2_engine.masks.logits import CPU, SIZES, enlarged, some_logits

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

GPU = torch.device("cuda")
PICTURE: Image = np.ascontiguousarray(data.coffee()[::2, ::2])
GRID = GridSettings(points_per_side=12, pred_iou_thresh=0.5, stability_score_thresh=0.6)
MODES = pytest.mark.parametrize(
    "settings",
    [
        pytest.param(GRID, id="three masks"),
        pytest.param(replace(GRID, multimask_output=False), id="single masks"),
        pytest.param(replace(GRID, points_per_side=5, use_m2m=True), id="m2m"),
        pytest.param(replace(GRID, points_per_side=6, crop_n_layers=1), id="crops"),
    ],
)


@pytest.fixture(autouse=True)
def _float32_is_float32() -> Iterator[None]:
    """cuDNN's convolutions round to TF32 unless they are told not to."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def on_gpu() -> Generators:
    return Generators(copy.deepcopy(nano_network()).to(GPU))


class TestMasks:
    @MODES
    def test_are_those_of_the_cpu(self, on_gpu: Generators, settings: GridSettings) -> None:
        expected = Generators(nano_network()).ours(PICTURE, settings)
        check_equal(on_gpu.ours(PICTURE, settings).masks, expected.masks)

    @MODES
    def test_are_metas_on_the_same_gpu(self, on_gpu: Generators, settings: GridSettings) -> None:
        settings = on_gpu.with_thresholds(PICTURE, settings, kept_by_each=0.6)
        ours, theirs = on_gpu.ours(PICTURE, settings), on_gpu.meta(PICTURE, settings)
        assert len(theirs) > 0
        assert not differences(ours.masks, theirs)


class TestBits:
    @pytest.mark.parametrize(("logits_hw", "image_hw"), SIZES)
    def test_enlarging_gives_the_same_numbers(
        self, logits_hw: tuple[int, int], image_hw: tuple[int, int]
    ) -> None:
        logits = some_logits(logits_hw)
        assert torch.equal(enlarged(logits.to(GPU), image_hw).cpu(), enlarged(logits, image_hw))

    @pytest.mark.parametrize(("logits_hw", "image_hw"), SIZES)
    def test_run_lengths_and_boxes_are_the_same(
        self, logits_hw: tuple[int, int], image_hw: tuple[int, int]
    ) -> None:
        logits = some_logits(logits_hw)
        there, here = (Upsampling(logits_hw, image_hw, device) for device in (GPU, CPU))
        counts = counts_in_bulk(logits.to(GPU), there, 0.0, (0, 0), image_hw)
        for found, small in zip(counts, logits.numpy(), strict=True):
            assert np.array_equal(found, counts_from_logits(small, here, 0.0, (0, 0), image_hw))
        mine, expected = score(logits.to(GPU), there, 0.0, 1.0), score(logits, here, 0.0, 1.0)
        assert torch.equal(mine.boxes_xyxy_px.cpu(), expected.boxes_xyxy_px)
        torch.testing.assert_close(
            mine.stability.cpu(), expected.stability, rtol=0, atol=1e-6, equal_nan=True
        )

    @pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
    def test_weights_cast_once_give_the_features_of_autocast(
        self, on_gpu: Generators, precision: torch.dtype
    ) -> None:
        cast = copy.deepcopy(on_gpu.network)
        cast_encoder(cast, precision)
        mine, expected = (
            embed_image(network, PICTURE, precision=precision) for network in (cast, on_gpu.network)
        )
        assert torch.equal(mine.image_embed_bchw, expected.image_embed_bchw)


class TestStops:
    def test_none_while_points_are_decoded_and_masks_made(self, on_gpu: Generators) -> None:
        image = on_gpu.embed(PICTURE)
        decoder = on_gpu.decoder
        points_b12 = torch.rand(40, 1, 2, device=GPU) * 200
        labels_b1 = torch.ones(40, 1, dtype=torch.int32, device=GPU)
        prompts = np.arange(40)

        def run() -> Tensor:
            sparse_bnc = decoder.prompts.points(points_b12, labels_b1, PICTURE.shape[:2])
            decoded = decoder.decode(image, sparse_bnc)
            return decoder.mask_logits(image, decoded, prompts, prompts % 3 + 1)

        run()  # what is allocated at first may wait
        torch.cuda.set_sync_debug_mode("error")
        try:
            logits = run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert logits.isfinite().all()


class TestHalfPrecision:
    def test_finds_masks_like_those_of_float32(self, on_gpu: Generators) -> None:
        half = Generators(on_gpu.network, torch.bfloat16)
        assert isinstance(half.decoder, FastMaskDecoder)
        mine, expected = half.ours(PICTURE, GRID).masks, on_gpu.ours(PICTURE, GRID).masks
        assert abs(len(mine) - len(expected)) <= len(expected) // 5
        drawn = expected.to_dense().reshape(len(expected), -1).astype(np.float32)
        others = mine.to_dense().reshape(len(mine), -1).astype(np.float32)
        shared = drawn @ others.T
        iou = shared / (drawn.sum(1)[:, None] + others.sum(1)[None] - shared)
        assert iou.max(axis=1).mean() > 0.9
