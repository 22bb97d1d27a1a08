from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.networks import Generators
from tests.sam2_engine.everything.small_grids import LENIENT, PICTURE, ShortOfMemory, check_equal


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

    def test_leaves_the_process_as_it_was(self, nano: Generators) -> None:
        image = PICTURE.copy()
        threads = torch.get_num_threads()
        random = torch.random.get_rng_state()
        nano.ours(image, LENIENT)
        assert np.array_equal(image, PICTURE)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), random)
