"""Fits scores and logits to Meta's default thresholds; `python -m training.calibrate --help`.

Everything mode keeps a mask when its predicted IoU is above 0.8 and its stability at least 0.95:
the IoU of the mask cut at a logit of 1 with the one cut at -1. A small network is unsure: it
predicts means, not extremes, and its logits rise slowly across an edge. Both are matters of scale,
and a scale can be folded into weights without changing one mask:

* mask logits are multiplied, in the last layers that make them, and divided again where an earlier
  answer comes in as a prompt;
* the predicted IoU's logit becomes a x logit + b, so that as many predictions lie above 0.8, and
  above 0.5, as true IoUs do.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from training.composites import draw_composite
from training.dataset import enlarged
from training.network import (
    Decoded,
    build_network,
    decode,
    embed,
    load_weights,
    normalise,
    save_weights,
)
from training.objective import true_ious
from training.picture_bank import DEFAULT_FOLDER, load_bank
from training.prompts import MaskMenu
from training.scenes import Scene, draw_scene

FIRST_SEED = 5_000
_CLICKS_PER_SCENE = 32
_GOOD_IOU = 0.7
_STABLE = 0.95
_SCALES = np.geomspace(1, 24, 40)


@dataclass(frozen=True)
class Calibration:
    """Factors to fold into a network.

    Attributes:
        logit_scale: Of the mask logits.
        score_slope: Of the predicted IoU's logit.
        score_shift: Added to it.
    """

    logit_scale: float
    score_slope: float
    score_shift: float

    def inverse(self) -> "Calibration":
        """The one that undoes this one: to train a calibrated network further, undo it first."""
        slope = 1 / self.score_slope
        return Calibration(1 / self.logit_scale, slope, -self.score_shift * slope)


@dataclass(frozen=True)
class Answers:
    """Candidates of many clicks.

    Attributes:
        true: N true IoUs, each with the best mask that holds the click.
        predicted: N predicted ones.
        stability: N x S stabilities at the S logit scales that are tried.
    """

    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    stability: NDArray[np.float64]


@torch.no_grad()
def fold(network: SAM2Base, calibration: Calibration) -> None:
    """Folds a calibration into a network's weights; masks stay as they are."""
    decoder = network.sam_mask_decoder
    for maker in decoder.output_hypernetworks_mlps:
        maker.layers[-1].weight.mul_(calibration.logit_scale)
        maker.layers[-1].bias.mul_(calibration.logit_scale)
    network.sam_prompt_encoder.mask_downscaling[0].weight.div_(calibration.logit_scale)
    # A mask prompt of a track comes in there too, through this layer: its pointer stays as it is.
    network.mask_downsample.weight.mul_(calibration.logit_scale)
    network.mask_downsample.bias.mul_(calibration.logit_scale)
    scores = decoder.iou_prediction_head.layers[-1]
    scores.weight.mul_(calibration.score_slope)
    scores.bias.mul_(calibration.score_slope).add_(calibration.score_shift)


def fit(answers: Answers, stable_share: float) -> Calibration:
    """Finds the calibration that suits the thresholds.

    Args:
        answers: Of the network as it is.
        stable_share: So many of the good masks (true IoU 0.7 and more) are to count as stable.
    """
    good = answers.stability[answers.true >= _GOOD_IOU] >= _STABLE
    enough = np.nonzero(good.mean(axis=0) >= stable_share)[0]
    scale = _SCALES[enough[0] if len(enough) else -1]
    logits = _logit(answers.predicted)
    at_high, at_low = (np.quantile(logits, (answers.true < iou).mean()) for iou in (0.8, 0.5))
    slope = (_logit(np.array(0.8)) - _logit(np.array(0.5))) / (at_high - at_low)
    return Calibration(float(scale), float(slope), float(-slope * at_low))


def _logit(share: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(share, 1e-5, 1 - 1e-5)
    return np.asarray(np.log(inside / (1 - inside)))


def answers_on(network: SAM2Base, scenes: Iterator[Scene]) -> Answers:
    """Clicks all over some scenes, as everything mode does."""
    rows = [_answers(network, scene, number) for number, scene in enumerate(scenes)]
    return Answers(*(np.concatenate(column) for column in zip(*rows, strict=True)))


@torch.inference_mode()
def _answers(
    network: SAM2Base, scene: Scene, number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    menu = MaskMenu(scene)
    rng = np.random.default_rng([7, number])
    points = rng.integers(0, len(scene.image_hwc), (_CLICKS_PER_SCENE, 2))
    answer = _clicked(network, scene, torch.from_numpy(points).float())
    true = np.zeros((len(points), 3))
    for row, (x, y) in enumerate(points):
        masks = [menu.object_mask(int(scene.object_ids_hw[y, x]))]
        part = menu.other_mask(int(x), int(y), asked_part=False)
        for mask in [*masks, *([] if part is None else [part])]:
            wanted = torch.from_numpy(mask)[None].float()
            ious = true_ious(answer.logits[row : row + 1, 1:], wanted)[0].numpy()
            true[row] = np.maximum(true[row], ious)
    stability = np.stack([_stability(answer.logits[:, 1:], scale) for scale in _SCALES], axis=-1)
    predicted = answer.scores[:, 1:].double().numpy()
    return true.ravel(), predicted.ravel(), stability.reshape(-1, len(_SCALES))


def _clicked(network: SAM2Base, scene: Scene, points: Tensor) -> Decoded:
    embedding = embed(network, normalise(torch.from_numpy(scene.image_hwc[None])))
    picture = torch.zeros(len(points), dtype=torch.int64)
    labels = torch.ones((len(points), 1), dtype=torch.int32)
    return decode(network, embedding, picture, points[:, None], labels)


def _stability(logits_nmhw: Tensor, scale: float) -> NDArray[np.float64]:
    inner = (logits_nmhw > 1 / scale).sum(dim=(2, 3))
    outer = (logits_nmhw > -1 / scale).sum(dim=(2, 3))
    return np.asarray((inner / outer.clamp(min=1)).double().numpy())


def _scenes(count: int, size_px: int, bank: Path) -> Iterator[Scene]:
    """Drawn scenes and composites in turn; neither training nor evaluation sees them."""
    for number in range(count):
        if number % 2:
            yield draw_composite(FIRST_SEED + number, load_bank(bank), size_px)
        else:
            yield enlarged(draw_scene(FIRST_SEED + number), size_px)


def main() -> None:
    """Calibrates a file of weights."""
    parser = argparse.ArgumentParser(description="Fits a model to Meta's default thresholds.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--bank", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--stable-share", type=float, default=0.7)
    options = parser.parse_args()
    network = build_network(options.config)
    load_weights(network, options.weights)
    network.eval()
    scenes = _scenes(options.scenes, network.image_size, options.bank)
    calibration = fit(answers_on(network, scenes), options.stable_share)
    fold(network, calibration)
    save_weights(network.state_dict(), options.out)
    print(json.dumps(asdict(calibration)))


if __name__ == "__main__":
    main()
