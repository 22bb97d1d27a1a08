"""Measures tracking on fresh clips; `python -m training.evaluate_tracking --help`."""

import argparse
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base

from training.clips import Clip, draw_clip
from training.network import build_network, load_weights
from training.opencv import cv2
from training.picture_bank import DEFAULT_FOLDER, load_bank
from training.prompts import BoolMask, box_of
from training.tracking import Track
from training.train_memory import PooledClip, jaccard, pooled_clip

_LEAST_AREA_PX = 400
# DAVIS's tolerance of boundaries, as a share of the picture's diagonal.
_BOUNDARY_SHARE = 0.008


@dataclass
class TrackScores:
    """One row an object and frame, the prompted frame left out.

    Attributes:
        j: IoU of the mask; 1 where both are empty.
        f: Precision and recall of its boundary, as one figure.
        stays: Whether the object is seen in every frame of its clip.
        presence: Whether the network rightly said that the object is there, or that it is not.
    """

    j: list[float] = field(default_factory=list)
    f: list[float] = field(default_factory=list)
    stays: list[bool] = field(default_factory=list)
    presence: list[bool] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Means over all rows, and over the objects that stay or leave."""
        both = (np.array(self.j) + np.array(self.f)) / 2
        stays = np.array(self.stays)
        return {
            "rows": len(self.j),
            "j": float(np.mean(self.j)),
            "f": float(np.mean(self.f)),
            "j_and_f": float(both.mean()),
            "j_and_f_stays": float(both[stays].mean()) if stays.any() else math.nan,
            "j_and_f_leaves": float(both[~stays].mean()) if (~stays).any() else math.nan,
            "presence_right": float(np.mean(self.presence)),
        }


def boundary_f(answered_hw: BoolMask, wanted_hw: BoolMask) -> float:
    """F measure of two outlines within DAVIS's tolerance; 1 where both are empty."""
    if not (answered_hw.any() and wanted_hw.any()):
        return float(not answered_hw.any() and not wanted_hw.any())
    outlines = [_outline(answered_hw), _outline(wanted_hw)]
    reach = math.ceil(_BOUNDARY_SHARE * math.hypot(*wanted_hw.shape))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = [cv2.dilate(outline, disc) for outline in outlines]
    precision = float((outlines[0] * near[1]).sum() / outlines[0].sum())
    recall = float((outlines[1] * near[0]).sum() / outlines[1].sum())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _outline(mask_hw: BoolMask) -> NDArray[np.uint8]:
    mask = mask_hw.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(mask, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask - inner, np.uint8)


@torch.inference_mode()
def score_clip(network: SAM2Base, clip: Clip, scores: TrackScores, *, by_mask: bool) -> None:
    """Prompts what is seen in the first frame of a clip, and tracks it to the end."""
    pooled: PooledClip = pooled_clip(network, clip)
    seen = np.bincount(clip.object_ids_thw[0].ravel(), minlength=clip.objects + 1)[1:]
    numbers = 1 + np.nonzero(seen >= _LEAST_AREA_PX)[0]
    if not len(numbers):
        return
    wanted_tnhw = clip.object_ids_thw[:, None] == numbers[None, :, None, None]
    stays = wanted_tnhw.any(axis=(2, 3)).all(axis=0)
    track = Track(network, len(wanted_tnhw), len(numbers))
    first = pooled.features.rows(torch.zeros(len(numbers), dtype=torch.int64))
    if by_mask:
        track.start_by_mask(first, torch.from_numpy(wanted_tnhw[0][:, None]).float())
    else:
        boxes = np.stack([box_of(mask) for mask in wanted_tnhw[0]]).reshape(-1, 2, 2)
        track.start_by_box(first, torch.from_numpy(boxes))
    for frame, wanted in enumerate(wanted_tnhw[1:], start=1):
        rows = torch.full((len(numbers),), frame)
        answered = track.step(pooled.features.rows(rows)).chosen[:, 0] > 0
        scores.j += jaccard(answered, torch.from_numpy(wanted)).tolist()
        pairs = list(zip(answered.numpy(), wanted, strict=True))
        scores.f += [boundary_f(a, w) for a, w in pairs]
        scores.presence += [bool(a.any() == w.any()) for a, w in pairs]
        scores.stays += stays.tolist()


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description="Measures tracking on fresh clips.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--bank", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--box", action="store_true", help="prompt by box, not by mask")
    options = parser.parse_args()
    network = build_network(options.config)
    load_weights(network, options.weights)
    network.eval()
    scores = TrackScores()
    for seed in range(options.clips):
        clip = draw_clip(seed, load_bank(options.bank), options.frames, network.image_size)
        score_clip(network, clip, scores, by_mask=not options.box)
    print(json.dumps(scores.figures()))


if __name__ == "__main__":
    main()
