from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import PreparedImage
from infer_segment_anything_2.sam2_engine.everything.generation import search
from tests.networks import Generators, Image
from tests.sam2_engine.everything.small_grids import LENIENT, PICTURE, ShortOfMemory, check_equal

CORNER = ((5.0, 5.0), (50.0, 5.0), (50.0, 30.0), (5.0, 30.0))  # in the first crop alone
OUTSIDE = ((400.0, 5.0), (450.0, 5.0), (450.0, 30.0))
CENTRE, NO_POINTS = np.full((1, 2), 0.5), np.empty((0, 2))


class TestGenerate:
    @pytest.mark.parametrize("points_per_batch", [1, 5, 1000])
    def test_does_not_depend_on_the_batch(self, nano: Generators, points_per_batch: int) -> None:
        other = replace(LENIENT, points_per_batch=points_per_batch)
        check_equal(nano.ours(PICTURE, other).masks, nano.ours(PICTURE, LENIENT).masks)

    def test_takes_at_most_as_many_points_as_allowed(self, nano: Generators) -> None:
        strict = Generators(nano.network)
        strict.decoder = ShortOfMemory(nano.network)
        strict.decoder.room = 5
        strict.decoder.error = AssertionError("too many prompts at a time")
        settings = replace(LENIENT, points_per_batch=5, use_m2m=True)
        assert len(strict.ours(PICTURE, settings).masks) > 0

    def test_numbers_the_masks(self, nano: Generators) -> None:
        settings = replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2)
        masks = nano.ours(PICTURE, settings).masks
        assert masks.object_index.tolist() == list(range(len(masks)))

    def test_counts_what_each_filter_left(self, nano: Generators) -> None:
        settings = replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2)
        result = nano.ours(PICTURE, settings)
        counts = result.filter_counts
        assert (counts.points, counts.proposed) == (32, 96)
        left = counts[1:7]
        assert list(left) == sorted(left, reverse=True)
        assert counts.after_crop_nms == len(result.masks)

    @pytest.mark.parametrize(
        ("asked", "encoded_hw"),
        [
            pytest.param({"region_of_interest": (CORNER,)}, [(100, 150), (67, 92)], id="a region"),
            pytest.param({"point_grids": (CENTRE, NO_POINTS)}, [(100, 150)], id="no grid of crops"),
            pytest.param(
                {"point_grids": (NO_POINTS, CENTRE)}, [(67, 92)] * 4, id="no grid of the picture"
            ),
            pytest.param({"region_of_interest": (OUTSIDE,)}, [], id="no point at all"),
        ],
    )
    def test_encodes_no_crop_in_which_no_point_lies(
        self, nano: Generators, asked: dict[str, Any], encoded_hw: list[tuple[int, int]]
    ) -> None:
        sizes: list[tuple[int, ...]] = []

        def embed(image_rgb_hwc: Image) -> PreparedImage:
            sizes.append(image_rgb_hwc.shape[:2])
            return nano.embed(image_rgb_hwc)

        settings = replace(LENIENT, crop_n_layers=1, **asked)
        found = search(embed, nano.decoder, PICTURE, settings)
        assert sizes == encoded_hw
        assert len(found.filtered(settings).masks) > 0 or not sizes

    def test_leaves_the_process_as_it_was(self, nano: Generators) -> None:
        image = PICTURE.copy()
        threads = torch.get_num_threads()
        random = torch.random.get_rng_state()
        nano.ours(image, LENIENT)
        assert np.array_equal(image, PICTURE)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), random)
