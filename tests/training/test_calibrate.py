from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

from training.calibrate import Answers, Calibration, fit, fold
from training.network import build_network, decode, embed


class TestFold:
    def test_scales_logits_and_scores_and_leaves_masks(self, small_config: Path) -> None:
        torch.manual_seed(1)
        network = build_network(small_config).eval()
        side = network.image_size
        pixels = torch.randn(1, 3, side, side)
        previous = torch.randn(1, 1, side // 4, side // 4)
        question = (torch.zeros(1, dtype=torch.int64), torch.full((1, 1, 2), side / 2.0))
        label = torch.ones(1, 1, dtype=torch.int32)
        with torch.inference_mode():
            embedding = embed(network, pixels)
            before = decode(network, embedding, *question, label, previous)
        fold(network, Calibration(4.0, 1.5, 0.25))
        with torch.inference_mode():
            after = decode(network, embedding, *question, label, previous * 4)
        torch.testing.assert_close(after.logits, before.logits * 4, rtol=1e-3, atol=1e-4)
        expected = torch.logit(before.scores) * 1.5 + 0.25
        torch.testing.assert_close(torch.logit(after.scores), expected, rtol=1e-3, atol=1e-3)

    def test_leaves_the_pointer_of_a_mask_prompt(self, small_config: Path) -> None:
        torch.manual_seed(2)
        network = build_network(small_config).eval()
        side = network.image_size
        encoder = network.sam_prompt_encoder
        mask = torch.zeros(1, 1, side, side)
        mask[..., : side // 2] = 1
        with torch.inference_mode():
            before = encoder.mask_downscaling(network.mask_downsample(mask))
        fold(network, Calibration(4.0, 1.5, 0.25))
        with torch.inference_mode():
            after = encoder.mask_downscaling(network.mask_downsample(mask))
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


class TestCalibration:
    def test_inverse_undoes_it(self) -> None:
        back = Calibration(4.0, 1.5, 0.25).inverse()
        assert astuple(back) == pytest.approx((0.25, 1 / 1.5, -0.25 / 1.5))


class TestFit:
    def test_as_many_predictions_pass_as_true_ious(self) -> None:
        rng = np.random.default_rng(1)
        true = rng.uniform(0, 1, 4000)
        predicted = 0.5 + 0.2 * (true - 0.5)
        stability = np.zeros((4000, 40))
        stability[:, 10:] = 1
        calibration = fit(Answers(true, predicted, stability), 0.9)
        logits = np.log(predicted / (1 - predicted)) * calibration.score_slope
        passed = 1 / (1 + np.exp(-(logits + calibration.score_shift)))
        assert np.mean(passed > 0.8) == pytest.approx(np.mean(true > 0.8), abs=0.01)
        assert np.mean(passed > 0.5) == pytest.approx(np.mean(true > 0.5), abs=0.01)
        assert calibration.logit_scale == pytest.approx(24 ** (10 / 39))
