from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
import torch

from infer_segment_anything_2.sam2_engine.image import preprocessing
from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input
from tests.sam2_engine.image.noise import noise


def metas_input(image_rgb_hwc: npt.NDArray[np.uint8], side_px: int) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.script is deprecated
        from sam2.utils.transforms import SAM2Transforms

        transforms = SAM2Transforms(side_px, mask_threshold=0.0)
        square: torch.Tensor = transforms(image_rgb_hwc)[None]
    return square


class TestNetworkInput:
    @pytest.mark.parametrize(
        ("height", "width"),
        [
            (1, 1),
            (1, 2000),
            (2000, 1),
            (3, 5),
            (96, 96),
            (97, 95),
            (96, 300),
            (300, 96),
            (333, 777),
            (1001, 640),
        ],
    )
    @pytest.mark.parametrize("side_px", [96, 512])
    def test_equals_metas_transforms_bit_by_bit(
        self, height: int, width: int, side_px: int
    ) -> None:
        image = noise(height, width)
        assert torch.equal(network_input(image, side_px), metas_input(image, side_px))

    @pytest.mark.parametrize("band_pixels", [1, 700, 777, 2000, 100_000])
    def test_bands_change_no_bit(self, band_pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
        image = noise(333, 777)
        monkeypatch.setattr(preprocessing, "_BAND_PIXELS", band_pixels)
        assert torch.equal(network_input(image, 128), metas_input(image, 128))

    def test_reads_views_that_are_not_contiguous(self) -> None:
        image = noise(60, 80)[::2, ::-1]
        assert torch.equal(network_input(image, 64), metas_input(np.ascontiguousarray(image), 64))

    def test_picture_is_not_changed(self) -> None:
        image = noise(30, 40)
        before = image.copy()
        network_input(image, 64, input_size_percent=50)
        assert np.array_equal(image, before)

    def test_whole_size_is_the_default(self) -> None:
        image = noise(50, 70)
        assert torch.equal(network_input(image, 64, 100), network_input(image, 64))

    @pytest.mark.parametrize("percent", [1, 10, 50, 99])
    def test_smaller_picture_has_less_detail(self, percent: int) -> None:
        image = noise(200, 200)
        whole, shrunk = network_input(image, 128), network_input(image, 128, percent)
        assert shrunk.shape == whole.shape
        assert shrunk.std() < whole.std()
        # the brightness stays
        assert torch.allclose(shrunk.mean(), whole.mean(), atol=0.05)

    def test_shrinking_equals_two_resizes(self) -> None:
        image = noise(60, 100)
        small = torch.nn.functional.interpolate(
            torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255,
            (15, 25),
            mode="bilinear",
            antialias=True,
        )
        square = torch.nn.functional.interpolate(small, (64, 64), mode="bilinear", antialias=True)
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        expected = (square - mean) / deviation
        assert torch.allclose(network_input(image, 64, 25), expected, atol=1e-5)
