"""Measures tracking on fresh clips; `python -m training.evaluate_tracking --help`."""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infer_segment_anything_2.parameters import DEMO_MODEL_NAME, Parameters
from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_following.frame_following import (
    VideoFrame,
    VideoState,
    follow,
)
from infer_segment_anything_2.segmentation import Segmenter
from training.clips import Clip, draw_clip
from training.opencv import cv2
from training.picture_bank import DEFAULT_FOLDER, load_bank
from training.prompts import BoolMask

_CLIP_SIDE_PX = 512
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
        switched: Whether the mask covers another object of the clip better than its own.
    """

    j: list[float] = field(default_factory=list)
    f: list[float] = field(default_factory=list)
    stays: list[bool] = field(default_factory=list)
    presence: list[bool] = field(default_factory=list)
    switched: list[bool] = field(default_factory=list)

    def add(
        self,
        answered_nhw: NDArray[np.bool_],
        wanted_nhw: NDArray[np.bool_],
        stays: NDArray[np.bool_],
    ) -> None:
        """Takes in a frame of n objects."""
        ious_nn = np.array([[_iou(a, w) for w in wanted_nhw] for a in answered_nhw])
        own = np.diag(ious_nn)
        self.j += own.tolist()
        self.f += [boundary_f(a, w) for a, w in zip(answered_nhw, wanted_nhw, strict=True)]
        is_answered = answered_nhw.any(axis=(1, 2))
        self.presence += (is_answered == wanted_nhw.any(axis=(1, 2))).tolist()
        self.stays += stays.tolist()
        others = ious_nn - np.diag(np.inf * np.ones(len(own)))
        self.switched += (is_answered & (others.max(axis=1) > own)).tolist()

    def extend(self, other: TrackScores) -> None:
        """Takes in the rows of another clip."""
        for one in fields(self):
            getattr(self, one.name).extend(getattr(other, one.name))

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
            "identity_switched": float(np.mean(self.switched)),
        }


def _iou(one_hw: BoolMask, other_hw: BoolMask) -> float:
    """1 where both are empty."""
    union = int((one_hw | other_hw).sum())
    return int((one_hw & other_hw).sum()) / union if union else 1.0


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


def score_clip(segmenter: Segmenter, parameters: Parameters, clip: Clip) -> TrackScores:
    """Prompts what is seen in the first frame of a clip, and follows it to the end."""
    scores = TrackScores()
    seen = np.bincount(clip.object_ids_thw[0].ravel(), minlength=clip.objects + 1)[1:]
    numbers = 1 + np.nonzero(seen >= _LEAST_AREA_PX)[0]
    if not len(numbers):
        return scores
    wanted_tnhw = clip.object_ids_thw[:, None] == numbers[None, :, None, None]
    stays = wanted_tnhw.any(axis=(2, 3)).all(axis=0)
    prompts = tuple(ObjectPrompt(mask=PromptMask(mask_hw)) for mask_hw in wanted_tnhw[0])
    state = VideoState()
    for number, wanted_nhw in enumerate(wanted_tnhw):
        frame = VideoFrame(clip.images_thwc[number], prompts, n_frames=len(wanted_tnhw))
        followed = follow(segmenter, state, frame, parameters)
        state = followed.state
        if number == 0:
            continue
        answered_nhw = np.zeros_like(wanted_nhw)
        masks = followed.tracked.masks
        answered_nhw[masks.object_index - 1] = masks.to_dense()
        scores.add(answered_nhw, wanted_nhw, stays)
    return scores


def parse_options() -> argparse.Namespace:
    """Reads what is to be measured, and how it is to be followed."""
    parser = argparse.ArgumentParser(description="Measures tracking on fresh clips.")
    parser.add_argument("--weights", type=Path, help="a weights file (default: the bundled one)")
    parser.add_argument("--bank", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--memory-rule", default="meta")
    parser.add_argument("--track-size", default="full")
    parser.add_argument("--frame-step", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Prints the figures."""
    options = parse_options()
    parameters = Parameters(
        model_name=DEMO_MODEL_NAME,
        model_path=str(options.weights or ""),
        cuda=False,
        memory_rule=options.memory_rule,
        track_size=options.track_size,
        frame_step=options.frame_step,
    )
    segmenter, bank = Segmenter(asks_again=False), load_bank(options.bank)
    scores, started_s = TrackScores(), time.process_time()
    for seed in range(options.clips):
        clip = draw_clip(seed, bank, options.frames, _CLIP_SIDE_PX)
        scores.extend(score_clip(segmenter, parameters, clip))
    seconds = time.process_time() - started_s
    print(json.dumps({**scores.figures(), "cpu_s": round(seconds, 1)}))


if __name__ == "__main__":
    main()
