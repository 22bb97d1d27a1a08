"""Which points of a grid need to be asked: most would only repeat what is known already.

A grid is asked in rounds, from coarse to fine. After the first, every point of a round is judged
by what the earlier rounds gave:

* The smallest mask on the point covers its whole cell of the grid, many points gave that mask, and
  none of the point's neighbours on it came near another mask instead: the point would give it once
  more. It is left out.
* No mask is on the point, and none of its neighbours came near one. It is left out too.
* All others are asked.

Nothing is decided inside a round, so the same points are asked whatever the size of the chunks and
the number of threads. What is found is what those points give, unchanged: a part of the whole
grid's candidates, in the same order. `benchmarks/adaptive_points.py` measures how large a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from infer_segment_anything_2.sam2_engine.masks.duplicates import non_maximum_suppression
from infer_segment_anything_2.sam2_engine.settings import GridSettings

__all__ = ["AdaptivePoints", "Answers", "Cover", "cover_of"]

# So many points must have given a mask before it is taken for all there is in its cells: one of so
# many of the grid (32 x 32 points: 30), within bounds. With 10 there, more small things on a large
# ground were lost, each of which a single point gives.
_POINTS_PER_VOTE = 34
_LEAST_VOTES, _MOST_VOTES = 10, 30
# A point votes for a mask when the box of one of its masks has more than this IoU with the mask's.
_SAME_BOX_IOU = 0.9
# Of the masks that are alike the best counts. Not the setting: that may change without a search.
_ALIKE_BOX_IOU = 0.7
# What misses a threshold by less than this is near a mask: around it, all points are asked.
_NEAR_IOU = 0.05
_NEAR_STABILITY = 0.2
# Whether anything is near a point is asked of its neighbours in the square that reaches so far,
# where enough of them were asked: up to four before the last round, up to twelve in it. Five asks
# all points outside of masks before the last round.
_REACH = 2
_LEAST_NEIGHBOURS = 5
# A neighbour on a mask that did not give it, and whose best predicted IoU misses the threshold by
# less than this, speaks for something smaller there: coins on a cloth that many points gave.
_DISPUTING_IOU = 0.2
_DISPUTE_REACH = 1
# The logits are hardly finer, and what is kept of each mask grows with the square.
_MOST_CELLS_PER_SIDE = 128
_N_ROUNDS = 5


class Cover(NamedTuple):
    """Where k masks lie in the grid: bits of its cells, row by row, packed along the last axis.

    Attributes:
        inside_kc: uint8: the middle of the cell belongs to the mask.
        whole_kc: uint8: all of the cell does.
        size_k: int64: logits above the threshold.
    """

    inside_kc: npt.NDArray[np.uint8]
    whole_kc: npt.NDArray[np.uint8]
    size_k: npt.NDArray[np.int64]


class Answers(NamedTuple):
    """What n points of a round gave: k masks above the predicted IoU, and j candidates of those.

    Attributes:
        best_iou_n: float32: the best predicted IoU of each point, above the threshold or not.
        point_k: int64: which of the n points.
        stability_k: float32.
        is_candidate_k: bool: those that passed all filters of the search.
        iou_j: float32, of the candidates only, as all below.
        boxes_j4: int64, x1, y1, x2, y2, the last ones inclusive.
        cover: Of the candidates.
    """

    best_iou_n: npt.NDArray[np.float32]
    point_k: npt.NDArray[np.int64]
    stability_k: npt.NDArray[np.float32]
    is_candidate_k: npt.NDArray[np.bool_]
    iou_j: npt.NDArray[np.float32]
    boxes_j4: npt.NDArray[np.int64]
    cover: Cover


def cover_of(logits_khw: Tensor, points_per_side: int, mask_threshold: float) -> Cover:
    """Finds in which cells of a grid masks lie.

    Args:
        logits_khw: float32.
        points_per_side: Of the grid.
        mask_threshold: A pixel belongs to the mask when its logit is above.
    """
    n_masks, height, width = logits_khw.shape
    side = _cells_per_side(points_per_side)
    middles = (torch.arange(side, device=logits_khw.device) * 2 + 1) / (2 * side)
    rows, columns = (middles * height).long(), (middles * width).long()
    inside = logits_khw[:, rows[:, None], columns] > mask_threshold
    # The least logit of a cell: the greatest of their negatives.
    whole = inside
    if n_masks:
        whole = -adaptive_max_pool2d(-logits_khw, side) > mask_threshold
    size_k = (logits_khw > mask_threshold).sum(dim=(1, 2)).cpu().numpy()
    return Cover(_packed(inside), _packed(whole), size_k)


def _packed(bits_krc: Tensor) -> npt.NDArray[np.uint8]:
    return np.packbits(bits_krc.flatten(1).cpu().numpy(), axis=1)


def _inside(cover: Cover) -> npt.NDArray[np.uint8]:
    return cover.inside_kc


def _whole(cover: Cover) -> npt.NDArray[np.uint8]:
    return cover.whole_kc


def _cells_per_side(points_per_side: int) -> int:
    return min(points_per_side, _MOST_CELLS_PER_SIDE)


class AdaptivePoints:
    """Chooses the points of one crop, round by round.

        for asked, n_skipped in adaptive.rounds():
            adaptive.learn(asked, [...])  # what these points gave

    Args:
        points_xy_px: float32, n x 2: points of a regular grid, in the crop's pixels.
        crop_hw: Height and width of the crop.
        points_per_side: Of the grid.
        settings: The thresholds of the search.
    """

    def __init__(
        self,
        points_xy_px: npt.NDArray[np.float32],
        crop_hw: tuple[int, int],
        points_per_side: int,
        settings: GridSettings,
    ) -> None:
        self._settings = settings
        self._points_per_side = points_per_side
        height, width = crop_hw
        places = np.floor(points_xy_px / np.array([width, height]) * points_per_side)
        self._column_n, self._row_n = places.astype(np.int64).T
        shape = (points_per_side, points_per_side)
        side = _cells_per_side(points_per_side)
        self._cell_n = (
            self._row_n * side // points_per_side * side + self._column_n * side // points_per_side
        )
        self._is_asked = np.zeros(shape, bool)
        self._is_disputing = np.zeros(shape, bool)
        self._is_loud = np.zeros(shape, bool)
        self._found: list[tuple[npt.NDArray[np.int64], Answers]] = []

    def rounds(self) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
        """Yields the points to ask in each round, and the number of those that are left out.

        Points are told by their places in ``points_xy_px``, ascending. What they gave must be
        learned before the next round is taken.
        """
        round_n = _round_of(self._row_n, self._column_n)
        for number in range(_N_ROUNDS):
            due = np.flatnonzero(round_n == number)
            if due.size:
                is_needless = self._is_needless(due)
                yield due[~is_needless], int(is_needless.sum())

    def learn(self, asked: npt.NDArray[np.int64], answers: Sequence[Answers]) -> None:
        """Takes note of what points gave.

        Args:
            asked: Their places, in the order in which they were asked.
            answers: Of some of them after the other, all together of all.
        """
        start = 0
        for some in answers:
            points = asked[start : start + len(some.best_iou_n)]
            start += len(points)
            where = (self._row_n[points], self._column_n[points])
            self._is_asked[where] = True
            self._is_loud[where] = self._loud(some, _NEAR_IOU)
            self._is_disputing[where] = self._loud(some, _DISPUTING_IOU)
            self._found.append((points[some.point_k[some.is_candidate_k]], some))

    def _loud(self, answers: Answers, near_iou: float) -> npt.NDArray[np.bool_]:
        """Which points gave a mask, or came near one: so near by the best predicted IoU."""
        settings = self._settings
        is_loud = answers.best_iou_n > np.float32(settings.pred_iou_thresh - near_iou)
        least_stability = np.float32(settings.stability_score_thresh - _NEAR_STABILITY)
        is_near = answers.is_candidate_k | (answers.stability_k > least_stability)
        is_loud[answers.point_k[is_near]] = True
        return np.asarray(is_loud)

    def _is_needless(self, points: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which points are left out, by what is known so far."""
        if not self._found:
            return np.zeros(len(points), bool)
        is_on_mask, is_covered = self._covered(points)
        return np.where(is_on_mask, is_covered, self._is_quiet(points))

    def _is_quiet(self, points: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which points have neighbours that were asked, and none that gave or nearly gave a mask.

        A point that was left out is neither.
        """
        n_asked, n_loud = (
            _sums_around(flags, _REACH)[self._row_n[points], self._column_n[points]]
            for flags in (self._is_asked, self._is_loud)
        )
        return np.asarray((n_asked >= _LEAST_NEIGHBOURS) & (n_loud == 0))

    def _covered(
        self, points: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which points lie on a mask; and where the smallest is sure and covers the whole cell."""
        point_j = np.concatenate([where for where, _ in self._found])
        iou_j = np.concatenate([some.iou_j for _, some in self._found])
        boxes_j4 = np.concatenate([some.boxes_j4 for _, some in self._found])
        sizes_j = np.concatenate([some.cover.size_k for _, some in self._found])
        kept = non_maximum_suppression(boxes_j4, iou_j, _ALIKE_BOX_IOU)
        kept = kept[np.argsort(sizes_j[kept], kind="stable")]
        if not kept.size:
            nothing = np.zeros(len(points), bool)
            return nothing, nothing
        inside_kc, whole_kc = (
            np.unpackbits(
                np.concatenate([bits_of(some.cover) for _, some in self._found])[kept],
                axis=1,
                count=_cells_per_side(self._points_per_side) ** 2,
            ).astype(bool)
            for bits_of in (_inside, _whole)
        )
        gave_kn = _givers(boxes_j4, point_j, kept, len(self._cell_n))
        share = self._points_per_side**2 // _POINTS_PER_VOTE
        is_sure = gave_kn.sum(axis=1) >= max(_LEAST_VOTES, min(_MOST_VOTES, share))
        inside_kn = inside_kc[:, self._cell_n]
        is_disputed_kn = self._is_near_dispute(inside_kn & ~gave_kn)
        smallest = inside_kn[:, points].argmax(axis=0)
        is_covered = (
            whole_kc[smallest, self._cell_n[points]]
            & is_sure[smallest]
            & ~is_disputed_kn[smallest, points]
        )
        return np.asarray(inside_kn[:, points].any(axis=0)), np.asarray(is_covered)

    def _is_near_dispute(self, is_other_kn: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which points have a neighbour that came near something else than a mask that is on it.

        Args:
            is_other_kn: For each mask, the points on it that did not give it.
        """
        where = (slice(None), self._row_n, self._column_n)
        flags_khw = np.zeros((len(is_other_kn), *self._is_disputing.shape), bool)
        flags_khw[where] = is_other_kn
        flags_khw &= self._is_disputing
        return np.asarray(_sums_around(flags_khw, _DISPUTE_REACH)[where] > 0)


def _round_of(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """In which round each point is due.

    First every fourth point of every fourth row; then the middles of the squares that these make;
    then what makes them every second point of every second row, and again the middles, which makes
    every other point, as on a chessboard; and last the others.
    """
    is_fourth, is_middle, is_even, is_odd = (
        (rows % step == rest) & (columns % step == rest)
        for step, rest in ((4, 0), (4, 2), (2, 0), (2, 1))
    )
    return np.asarray(np.select([is_fourth, is_middle, is_even, is_odd], [0, 1, 2, 3], 4))


def _sums_around(flags_xhw: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.int64]:
    """How many flags are set in the square that reaches so far around each place.

    Args:
        flags_xhw: The last two axes are the grid's.
        reach: In points.
    """
    others = [(0, 0)] * (flags_xhw.ndim - 2)
    padded = np.pad(flags_xhw.astype(np.int64), [*others, (reach, reach), (reach, reach)])
    window = (2 * reach + 1, 2 * reach + 1)
    sums: npt.NDArray[np.int64] = np.lib.stride_tricks.sliding_window_view(
        padded, window, axis=(-2, -1)
    ).sum(axis=(-2, -1))
    return sums


def _givers(
    boxes_j4: npt.NDArray[np.int64],
    point_j: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    n_points: int,
) -> npt.NDArray[np.bool_]:
    """Which points gave a mask with the box of each of the kept ones, or nearly so; k x n."""
    first_xy, last_xy = boxes_j4[:, :2], boxes_j4[:, 2:] + 1
    areas_px = (last_xy - first_xy).prod(axis=1)
    gave_kn = np.zeros((len(kept), n_points), bool)
    for gave_n, one in zip(gave_kn, kept, strict=True):
        sides = np.minimum(last_xy, last_xy[one]) - np.maximum(first_xy, first_xy[one])
        common_px = np.maximum(sides, 0).prod(axis=1)
        is_same = common_px > _SAME_BOX_IOU * (areas_px + areas_px[one] - common_px)
        gave_n[point_j[is_same]] = True
    return gave_kn
