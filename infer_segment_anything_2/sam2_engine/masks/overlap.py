"""Masks against masks: which are alike, and who keeps the pixels that several have.

All on run lengths: exact in true pixels, in memory that grows with the masks' outlines only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.rle import (
    Counts,
    counts_from_changes,
    ragged_places,
    runs_of_ones,
)
from infer_segment_anything_2.sam2_engine.settings import OverlapRule

__all__ = ["MaskRuns", "union", "without_overlap"]

Positions = npt.NDArray[np.int64]


def union(masks: Sequence[Counts], image_hw: tuple[int, int]) -> Counts:
    """Returns the run lengths of the pixels that any of some masks has.

    >>> union([np.array([0, 2, 4], np.uint32), np.array([1, 3, 2], np.uint32)], (2, 3)).tolist()
    [0, 4, 2]
    """
    runs = [runs_of_ones(counts) for counts in masks]
    starts = np.concatenate([run[0] for run in runs])
    ends = np.concatenate([run[1] for run in runs])
    edges = np.concatenate([starts, ends])
    steps = np.repeat(np.array([1, -1]), [starts.size, ends.size])
    # Starts before ends at the same place: runs that touch are one.
    order = np.lexsort((-steps, edges))
    depth = np.cumsum(steps[order])
    is_change = (depth == 0) | (depth - steps[order] == 0)
    return counts_from_changes(edges[order][is_change], image_hw[0] * image_hw[1])


class MaskRuns:
    """The runs of all masks of a set, one after the other: to compare them with one mask at once.

    Args:
        masks: The set.
    """

    def __init__(self, masks: MaskSet) -> None:
        self._rles = masks.rles
        runs = [runs_of_ones(rle.counts) for rle in masks.rles]
        sizes = np.array([starts.size for starts, _ in runs], np.int64)
        self._first = np.concatenate(([0], np.cumsum(sizes)))
        nothing = np.empty(0, np.int64)
        self._starts = np.concatenate([nothing, *(starts for starts, _ in runs)])
        self._ends = np.concatenate([nothing, *(ends for _, ends in runs)])

    def counts(self, index: int) -> Counts:
        """The run lengths of one mask."""
        return self._rles[index].counts

    def intersections_px(self, one: Counts, others: npt.NDArray[np.int64]) -> Positions:
        """Counts the pixels that a mask of the same picture shares with some of the set's.

        Args:
            one: Its run lengths.
            others: Indices into the set.

        Returns:
            int64, one number for each of `others`.
        """
        starts, ends = runs_of_ones(one)
        before = np.concatenate(([0], np.cumsum(ends - starts)))
        sizes = self._first[others + 1] - self._first[others]
        row, in_other = ragged_places(sizes)
        run = self._first[others][row] + in_other

        def ones_before(positions: Positions) -> Positions:
            later = np.searchsorted(starts, positions, side="left")
            last = np.maximum(later - 1, 0)
            overhang = np.minimum(positions, ends[last]) - starts[last]
            return before[last] + np.where(later > 0, overhang, 0)

        if not starts.size:
            return np.zeros(others.size, np.int64)
        common = ones_before(self._ends[run]) - ones_before(self._starts[run])
        total = np.concatenate(([0], np.cumsum(common)))
        last_run = np.cumsum(sizes)
        return np.asarray(total[last_run] - total[last_run - sizes], np.int64)


def without_overlap(masks: MaskSet, rule: OverlapRule) -> list[Counts]:
    """Gives every pixel to one mask only.

    Args:
        masks: Best first.
        rule: "smallest_on_top": the mask with the smallest area keeps it; "highest_score": the
            one with the highest predicted IoU; of equals the earlier. "keep": all of them do.

    Returns:
        Run lengths of each mask; the very same array where a mask keeps all its pixels.
    """
    if rule == "keep" or len(masks) < 2:
        return [rle.counts for rle in masks.rles]
    if rule == "smallest_on_top":
        rank = np.array([rle.area_px for rle in masks.rles], np.float64)
    else:
        rank = -np.nan_to_num(masks.predicted_iou.astype(np.float64), nan=-np.inf)
    first_to_last = np.argsort(rank, kind="stable")
    runs = [runs_of_ones(rle.counts) for rle in masks.rles]
    # Between two neighbouring edges of any mask, all pixels have the same owner.
    edges, places = np.unique(
        np.concatenate([ends for run in runs for ends in run]), return_inverse=True
    )
    of_mask = np.split(places, np.cumsum([2 * starts.size for starts, _ in runs])[:-1])
    owner = np.full(edges.size, -1, np.int64)
    for index in first_to_last[::-1]:
        starts, ends = np.split(of_mask[index], 2)
        if starts.size:
            steps = np.zeros(ends[-1] - starts[0] + 1, np.int8)
            steps[starts - starts[0]] = 1
            # Two runs never touch, so no start meets an end.
            steps[ends - starts[0]] = -1
            inside = np.cumsum(steps[:-1], dtype=np.int8).view(bool)
            owner[starts[0] : ends[-1]][inside] = index
    return _runs_of_owners(masks, edges, owner)


def _runs_of_owners(masks: MaskSet, edges: Positions, owner: Positions) -> list[Counts]:
    """Collects the stretches between edges that belong to each mask.

    Args:
        masks: The owners.
        edges: Ascending.
        owner: From each edge to the next; -1 for nobody, as behind the last edge.
    """
    first = np.flatnonzero(np.diff(owner, prepend=-1))  # nobody's, before the first, is no stretch
    last = np.append(first[1:], edges.size - 1) if first.size else first
    starts, ends, owner = edges[first], edges[last], owner[first]
    by_owner = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[by_owner], np.arange(len(masks) + 1))
    n_pixels = masks.image_hw[0] * masks.image_hw[1]
    found: list[Counts] = []
    for index, rle in enumerate(masks.rles):
        stretches = by_owner[bounds[index] : bounds[index + 1]]
        changes = np.stack([starts[stretches], ends[stretches]], axis=1).ravel()
        keeps_all = int((changes[1::2] - changes[::2]).sum()) == rle.area_px
        found.append(rle.counts if keeps_all else counts_from_changes(changes, n_pixels))
    return found
