"""What everything mode asks of a GPU: how much, where, and whether the masks stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.everything import crop_candidates, crop_search
from infer_segment_anything_2.sam2_engine.network.building import build_network
from infer_segment_anything_2.sam2_engine.network.casting import cast_encoder
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from infer_segment_anything_2.sam2_engine.weights.checkpoints import get_checkpoint
from tests.device_work import DeviceWork
from tests.fake_gpu import FakeGpu, Numbers
from tests.networks import Generators, Image, differences, nano_network
from tests.sam2_engine.everything.small_grids import LENIENT, MODES, PICTURE

# For 1,024 points on a picture of 1800 x 1200, the encoder included.
MOST_LAUNCHES = 3000
MOST_STOPS = 40

COFFEE: Image = np.ascontiguousarray(data.coffee()[::2, ::2])
COINS: Image = np.ascontiguousarray(np.repeat(data.coins()[:, :, None], 3, axis=2))
LARGE: Image = np.zeros((1200, 1800, 3), np.uint8)


class InBulk(Generators):
    """The GPU's way, on the CPU."""

    def __init__(self) -> None:
        super().__init__(nano_network())
        self.decoder = FastMaskDecoder(self.network, in_bulk=True)


@pytest.fixture(scope="module")
def in_bulk() -> InBulk:
    return InBulk()


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Chunks are searched in the thread that counts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TestSameMasks:
    """As the CPU's own way, to the last run length."""

    @pytest.mark.parametrize(
        "settings",
        [
            pytest.param(GridSettings(points_per_side=8), id="three masks"),
            pytest.param(
                GridSettings(points_per_side=6, multimask_output=False), id="single masks"
            ),
            pytest.param(GridSettings(points_per_side=3, use_m2m=True), id="m2m"),
            pytest.param(GridSettings(points_per_side=3, crop_n_layers=1), id="crops"),
        ],
    )
    @pytest.mark.parametrize("picture", [COFFEE, COINS], ids=["coffee", "coins"])
    def test_on_photographs(
        self, nano: Generators, in_bulk: InBulk, picture: Image, settings: GridSettings
    ) -> None:
        settings = replace(settings, pred_iou_thresh=0.5, stability_score_thresh=0.6)
        expected, found = nano.ours(picture, settings), in_bulk.ours(picture, settings)
        assert len(expected.masks) > 3
        assert found.masks.rles == expected.masks.rles
        assert found.filter_counts == expected.filter_counts
        assert np.array_equal(found.masks.points_xy_px, expected.masks.points_xy_px)
        assert np.array_equal(found.masks.boxes_xyxy_px, expected.masks.boxes_xyxy_px)
        difference = found.masks.predicted_iou - expected.masks.predicted_iou
        assert np.abs(difference).max() < 5e-6

    @MODES
    def test_without_any_filter(
        self, nano: Generators, in_bulk: InBulk, settings: GridSettings
    ) -> None:
        every = replace(
            settings, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0
        )
        expected, found = nano.ours(PICTURE, every), in_bulk.ours(PICTURE, every)
        assert found.masks.rles == expected.masks.rles

    @pytest.mark.parametrize("points_per_batch", [1, 5, 64])
    def test_for_any_size_of_chunks(
        self, nano: Generators, in_bulk: InBulk, points_per_batch: int
    ) -> None:
        settings = replace(LENIENT, points_per_batch=points_per_batch)
        found = in_bulk.ours(PICTURE, settings).masks
        assert found.rles == nano.ours(PICTURE, LENIENT).masks.rles

    def test_when_no_logits_fit(
        self, nano: Generators, in_bulk: InBulk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = nano.ours(PICTURE, LENIENT).masks
        monkeypatch.setattr(crop_candidates.LogitRoom, "take", lambda room, nbytes: False)
        assert in_bulk.ours(PICTURE, LENIENT).masks.rles == expected.rles

    def test_as_metas(self, in_bulk: InBulk) -> None:
        settings = replace(LENIENT, points_per_side=5)
        ours, theirs = in_bulk.ours(PICTURE, settings), in_bulk.meta(PICTURE, settings)
        assert len(theirs) > 0
        assert not differences(ours.masks, theirs)


@pytest.mark.usefixtures("_one_thread")
class TestWork:
    """Launches and stops, counted on the CPU with the bundled network."""

    def count(
        self, decoder: FastMaskDecoder, settings: GridSettings, monkeypatch: pytest.MonkeyPatch
    ) -> DeviceWork:
        side = Generators(nano_network())
        side.decoder = decoder
        image = side.embed(COFFEE)
        monkeypatch.setattr(side, "embed", lambda image_rgb_hwc: image)
        with DeviceWork() as work:
            side.ours(COFFEE, settings)
        return work

    def test_grows_with_the_chunks_not_with_the_points(
        self, in_bulk: InBulk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = GridSettings(points_per_side=8, pred_iou_thresh=0.5, points_per_batch=16)
        one_chunk, same_chunk, four_chunks = (
            self.count(in_bulk.decoder, replace(settings, points_per_side=side), monkeypatch)
            for side in (8, 4, 16)
        )
        # beside decoding and scoring, 20 launches for each 64 prompts that keep a mask
        assert one_chunk.launches <= same_chunk.launches + 2 * 20
        assert one_chunk.stops == same_chunk.stops
        assert four_chunks.launches < 4 * one_chunk.launches
        assert four_chunks.stops == one_chunk.stops + 3 * 3  # IoU, cells to look into, scores

    def test_is_little_beside_the_way_of_a_cpu(
        self, nano: Generators, in_bulk: InBulk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = GridSettings(points_per_side=8, pred_iou_thresh=0.5)
        mine, theirs = (self.count(side.decoder, settings, monkeypatch) for side in (in_bulk, nano))
        assert 5 * mine.launches < theirs.launches
        assert mine.launches < 600
        assert mine.stops <= 5


class MadeUpAnswers:
    """A search in which half of the points keep 1.8 masks each, and a hundred masks are written."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype) -> Numbers:
        random = self._random
        if dtype == torch.float32:  # predicted IoU of the points of a chunk
            is_good = random.random(len(shape) and shape[0]) < 0.5
            tokens = random.random(shape) < 0.6
            return np.where(is_good[:, None] & tokens, 0.95, 0.1).astype(np.float32)
        if dtype == torch.float64:  # stability and box
            corners = random.integers(0, 1000, (shape[0], 2))
            return np.column_stack([random.uniform(0.9, 0.956, shape[0]), corners, corners + 99])
        return np.arange(shape[0])  # places where masks change


@pytest.fixture
def _room_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without CUDA, autocast refuses to be one for it.
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(crop_search, "free_bytes", lambda device: 16 * 2**30)
    # torchvision's, on the host
    monkeypatch.setattr(
        crop_candidates,
        "non_maximum_suppression",
        lambda boxes, scores, threshold, image_hw: np.arange(min(100, len(boxes))),
    )


class TestChunks:
    @pytest.mark.parametrize(
        ("free", "expected"),
        [
            pytest.param(None, 256, id="nobody knows"),
            pytest.param(2**34, 256, id="plenty"),
            pytest.param(2**28, 64, id="little"),
            pytest.param(0, 1, id="none"),
        ],
    )
    def test_fit_into_half_of_the_free_memory(
        self, in_bulk: InBulk, free: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(crop_search, "free_bytes", lambda device: free)
        image = in_bulk.embed(PICTURE)
        assert in_bulk.decoder.tensor_bytes(image, 8) == 64 * 32 * 32 * 4
        assert crop_search._points_per_chunk(in_bulk.decoder, image, 64) == expected


@pytest.mark.usefixtures("_room_on_the_gpu")
class TestOnAFakeGpu:
    """The official shape on a picture of 1800 x 1200."""

    @pytest.mark.parametrize(
        "precision",
        [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.slow)],
        ids=str,
    )
    def test_a_search_stays_on_the_device_and_within_its_bounds(
        self, precision: torch.dtype
    ) -> None:
        network = build_network(get_checkpoint("sam2.1_hiera_tiny"))
        if precision != torch.float32:
            cast_encoder(network, precision)
        gpu = FakeGpu(MadeUpAnswers())
        on_gpu = gpu.network(network)
        with gpu:
            side = Generators(on_gpu, precision)
            assert side.decoder.device.type == "cuda"
            with DeviceWork("cuda") as work:
                result = side.ours(LARGE, GridSettings())
        assert result.filter_counts.after_iou > 800
        assert len(result.masks) == 100
        assert work.launches <= MOST_LAUNCHES
        assert work.stops + gpu.selections <= MOST_STOPS
