"""A mask as a prompt: what makes the network better it, not ignore it.

The network was trained with masks of its own as prompts (logits, with the click that they came
from), never with a bare black and white picture. So the mask becomes logits, and where the object
has no box or no point on it, a box around the mask and a point deep inside it stand by.
`benchmarks/mask_prompts.py` measured which support and which strength of logits work.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from infer_segment_anything_2.prompts import (
    FOREGROUND_LABEL,
    BoxXyxy,
    ObjectPrompt,
    PointXy,
)
from infer_segment_anything_2.sam2_engine.settings import MaskSupport

__all__ = ["deepest_point", "mask_logits", "with_support"]

Mask = npt.NDArray[np.bool_]

_MOST_CELLS = 64
_UINT8_MAX = 255
_COLOURS = 3


def mask_logits(mask_hw: Mask, size_hw: tuple[int, int], logit: float) -> Tensor:
    """Stretches a mask of any size to the prompt encoder's and makes logits of it.

    Args:
        mask_hw: bool.
        size_hw: Height and width of the result.
        logit: Of a pixel that is covered wholly.

    Returns:
        float32, h x w, on the CPU: -`logit` to `logit`, in proportion to the share covered.
    """
    # As integers: a quarter of the memory for large pictures.
    levels = torch.from_numpy(mask_hw.view(np.uint8) * np.uint8(_UINT8_MAX))[None, None]
    covered = F.interpolate(levels, size_hw, mode="bilinear", align_corners=False, antialias=True)
    return (covered[0, 0].float() / _UINT8_MAX * 2 - 1) * logit


def with_support(
    prompt: ObjectPrompt, image_hw: tuple[int, int], support: MaskSupport
) -> ObjectPrompt:
    """Adds a box around an object's mask and a point inside it, where it has none of its own.

    Args:
        prompt: In pixels of the picture; returned as it is when it has no mask.
        image_hw: Height and width of the picture.
        support: What to add.
    """
    if prompt.mask is None:
        return prompt
    mask_hw = prompt.mask.mask_hw
    scale_xy = (image_hw[1] / mask_hw.shape[1], image_hw[0] / mask_hw.shape[0])
    box = prompt.box_xyxy_px
    if box is None and support.box:
        box = _box_around(mask_hw, scale_xy, image_hw, support.margin)
    points, labels = prompt.points_xy_px, prompt.labels
    if support.point and not prompt.clicks_xy_px:
        x, y = deepest_point(mask_hw)
        points = (*points, (x * scale_xy[0], y * scale_xy[1]))
        labels = (*labels, FOREGROUND_LABEL)
    return replace(prompt, box_xyxy_px=box, points_xy_px=points, labels=labels)


def _box_around(
    mask_hw: Mask, scale_xy: tuple[float, float], image_hw: tuple[int, int], margin: float
) -> BoxXyxy:
    left, top, right, bottom = _extent(mask_hw)
    spare_x, spare_y = margin * (right - left), margin * (bottom - top)
    return (
        max((left - spare_x) * scale_xy[0], 0.0),
        max((top - spare_y) * scale_xy[1], 0.0),
        min((right + spare_x) * scale_xy[0], float(image_hw[1])),
        min((bottom + spare_y) * scale_xy[1], float(image_hw[0])),
    )


def _extent(mask_hw: Mask) -> tuple[int, int, int, int]:
    """Left, top, and one past right and bottom of the pixels set."""
    columns, rows = (np.flatnonzero(mask_hw.any(axis=axis)) for axis in (0, 1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def deepest_point(mask_hw: Mask) -> PointXy:
    """Finds the middle of a pixel far from the mask's edge; the picture's own edge counts as one.

    Args:
        mask_hw: bool, with at least one pixel set. Large masks are looked at more coarsely.

    >>> deepest_point(np.ones((3, 5), bool))
    (1.5, 1.5)
    """
    left, top, right, bottom = _extent(mask_hw)
    inside = mask_hw[top:bottom, left:right]
    cells_hw = (min(bottom - top, _MOST_CELLS), min(right - left, _MOST_CELLS))
    covered = mask_logits(np.ascontiguousarray(inside), cells_hw, 1.0).numpy() > 0
    if not covered.any():
        covered[...] = True
    cell_px = np.array([inside.shape[0] / cells_hw[0], inside.shape[1] / cells_hw[1]])
    framed = np.pad(covered, 1)
    edge_yx = np.argwhere(~framed) * cell_px
    cell_yx = np.argwhere(framed) * cell_px
    depth = _nearest_distance(cell_yx, edge_yx)
    middle_y, middle_x = cell_yx[int(depth.argmax())] - cell_px / 2
    # The middle of a coarse cell may miss a thin mask: the nearest pixel of it will do.
    rows, columns = np.nonzero(inside)
    nearest = int(np.argmin((rows + 0.5 - middle_y) ** 2 + (columns + 0.5 - middle_x) ** 2))
    return float(columns[nearest] + left) + 0.5, float(rows[nearest] + top) + 0.5


def _nearest_distance(
    from_yx: npt.NDArray[np.float64], to_yx: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Squared distance from each place to the nearest of some others."""
    best = np.full(len(from_yx), np.inf)
    for y, x in to_yx:
        np.minimum(best, (from_yx[:, 0] - y) ** 2 + (from_yx[:, 1] - x) ** 2, out=best)
    return best
