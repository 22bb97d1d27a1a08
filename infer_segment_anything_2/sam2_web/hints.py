"""What to change where a search found masks, and none of them is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infer_segment_anything_2.errors import counted
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.request import grid_settings
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.outcome import Segmentation

__all__ = ["Hint", "find_hint"]

Run = Callable[[Mapping[str, float]], Segmentation]
"""A run in which some parameters have other values."""

_WANTED_MASKS = 3
_STEPS = 100  # thresholds are told in hundredths
_ROUNDING = 1e-5
_TOGETHER = ("iou_thresh", "stability_score_thresh")


@dataclass(frozen=True)
class Hint:
    """Values under which masks are seen.

    Attributes:
        values: By the parameters' names.
        n_masks: How many masks there are then; that was tried.
        words: Both, for people.
    """

    values: Mapping[str, float]
    n_masks: int
    words: str


def find_hint(run: Run, parameters: Parameters) -> Hint | None:
    """Finds the least that must be changed to see some masks.

    One threshold is tried after the other, the one that took most first, then some together. Each
    answer is that of a run, so what is told is what will be seen.

    Args:
        run: Gives the result under changed values; should be quick.
        parameters: Under which nothing is shown.

    Returns:
        None where masks are shown, none were proposed, or no such change helps.
    """
    used = parameters.with_preset()
    counts = run({}).filter_counts
    if counts is None or counts.shown or not counts.proposed:
        return None
    loosest = _loosest(used)
    for keys in _in_order(counts.largest_loss(), loosest):
        found = run({key: loosest[key] for key in keys}).ranked[0]
        masks = found.select(np.flatnonzero([rle.area_px for rle in found.rles]))
        values = _values_for(masks, keys, used) if len(masks) else {}
        n_masks = len(run(values).ranked[0]) if values else 0
        if n_masks:
            return Hint(values, n_masks, _words(values, used, n_masks))
    return None


def _loosest(used: Parameters) -> dict[str, float]:
    """The values that let most through, of the parameters that could let through more."""
    floor = grid_settings(used, None).widened()
    values: dict[str, float] = {
        "iou_thresh": floor.pred_iou_thresh,
        "stability_score_thresh": floor.stability_score_thresh,
        "min_mask_area": 0,
        "max_mask_area": 0,
    }
    return {key: value for key, value in values.items() if used.value_of(key) != value}


def _in_order(largest_loss: str, keys: Iterable[str]) -> list[tuple[str, ...]]:
    """Which parameters to try: alone, those two that act on scores, all."""
    known = tuple(keys)
    alone = sorted(known, key=lambda key: key not in largest_loss)
    groups: list[tuple[str, ...]] = [(key,) for key in alone]
    groups += [group for group in (_TOGETHER, known) if len(group) > 1 and {*group} <= {*known}]
    return list(dict.fromkeys(groups))


def _values_for(masks: MaskSet, keys: Sequence[str], used: Parameters) -> dict[str, float]:
    """The values of some parameters that let the best few masks through."""
    areas_px = np.array([rle.area_px for rle in masks.rles])
    stability = np.nan_to_num(masks.stability_score, nan=0.0)
    best_first = {
        "stability_score_thresh": -stability,
        "min_mask_area": -areas_px,
        "max_mask_area": areas_px,
    }.get(keys[0] if len(keys) == 1 else "", -masks.predicted_iou)
    best = np.argsort(best_first, kind="stable")[:_WANTED_MASKS]
    needed = {
        # A predicted IoU must be above its threshold, a stability may be equal to it.
        "iou_thresh": _below(float(masks.predicted_iou[best].min()) - _ROUNDING),
        "stability_score_thresh": _below(float(stability[best].min())),
        "min_mask_area": int(areas_px[best].min()),
        "max_mask_area": int(areas_px[best].max()),
    }
    return {key: max(needed[key], 0) for key in keys if _is_looser(key, needed[key], used)}


def _below(score: float) -> float:
    return math.floor(score * _STEPS) / _STEPS


def _is_looser(key: str, value: float, used: Parameters) -> bool:
    now = float(used.value_of(key))
    return value > now if key == "max_mask_area" else value < now


def _words(values: Mapping[str, float], used: Parameters, n_masks: int) -> str:
    labels = {row.key: row.label for row in ROWS}
    changes = [
        f"{'raise' if value > float(used.value_of(key)) else 'lower'} {labels[key]} to {value:g}"
        for key, value in values.items()
    ]
    return f"Nothing passed: {' and '.join(changes)} to see {counted(n_masks, 'mask')}."
