"""Everything mode, sharper: each small mask asked for once more, in a window around it.

The network answers on a grid of a quarter of its input, so a mask that is small in what it saw has
steps for edges. In a window of twice its size the same object is large. The question is the mask
itself, with its box and a point inside, and what is answered has to be rated at least as well as
the mask was: else that one stays.

An answer depends on the mask and the picture only, not on what else was found. So answers are kept
beside the candidates, and a run that only filters otherwise asks for what is new in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from infer_segment_anything_2.prompts import BoxXyxy, ObjectPrompt
from infer_segment_anything_2.sam2_engine.everything.filter_counts import SharpeningCounts
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle, mask_in_box
from infer_segment_anything_2.sam2_engine.prompted.looking import Look, Looking, Seen
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import deepest_point
from infer_segment_anything_2.sam2_engine.prompted.windows import (
    Window,
    is_small,
    window_around,
)
from infer_segment_anything_2.sam2_engine.settings import OnProgress

__all__ = ["Answers", "sharpened"]

# Answers at so many stability offsets are kept.
_MOST_OFFSETS = 4


@dataclass(frozen=True, eq=False)
class _Answer:
    """What was answered to a mask.

    Attributes:
        masks: One mask in pixels of the picture; None where nothing was found, or where even the
            larger window cuts it.
        windows: In which it was asked.
    """

    masks: MaskSet | None
    windows: tuple[Window, ...]


class Answers:
    """What was answered for masks of one picture so far; safe from several threads."""

    def __init__(self) -> None:
        self._at_offset: dict[float, dict[Rle, _Answer]] = {}

    def at(self, stability_offset: float) -> dict[Rle, _Answer]:
        """The answers, by mask, with their stability at an offset; to be added to."""
        while len(self._at_offset) >= _MOST_OFFSETS and stability_offset not in self._at_offset:
            self._at_offset.pop(next(iter(self._at_offset)), None)
        return self._at_offset.setdefault(stability_offset, {})

    @property
    def nbytes(self) -> int:
        """Bytes that the run lengths take now."""
        return sum(
            rle.counts.nbytes + (answer.masks.rles[0].counts.nbytes if answer.masks else 0)
            for answers in list(self._at_offset.values())
            for rle, answer in list(answers.items())
        )


def sharpened(
    looking: Looking,
    masks: MaskSet,
    answers: Answers,
    on_progress: OnProgress | None = None,
) -> tuple[MaskSet, SharpeningCounts]:
    """Asks once more for each mask that is small in what the network saw of it.

    Small is what takes at most a quarter of the width and height of the picture, crop or tile that
    the mask was found in. A window that cuts its mask grows, and is asked once more.

    Args:
        looking: The picture, and the settings of the answers; each is asked by itself.
        masks: Finished masks in pixels of the picture.
        answers: What is known already; grows by what is answered.
        on_progress: Called before the first window and after each with the numbers of masks done
            and in all; an exception from it ends the work.

    Returns:
        The masks in the same order. Of those that were answered at least as well, in predicted IoU
        and in stability, pixels, box, scores and crop box (the window) are the answer's.

    Raises:
        DeviceError: The memory does not suffice.
    """
    known = answers.at(looking.settings.stability_score_offset)
    small = [index for index in range(len(masks)) if _is_worth_it(masks, index)]
    new = {masks.rles[index]: index for index in reversed(small) if masks.rles[index] not in known}
    looks = [_look(masks, index) for index in sorted(new.values())]
    _ask(looking, looks, known, on_progress)
    rows = [masks.select([index]) for index in range(len(masks))]
    windows: set[Window] = set()
    n_sharper = 0
    for index in small:
        answer = known[masks.rles[index]]
        windows.update(answer.windows)
        if answer.masks is not None and _is_as_good(answer.masks, rows[index]):
            rows[index] = _in_place_of(rows[index], answer.masks)
            n_sharper += 1
    counts = SharpeningCounts(asked=len(small), sharper=n_sharper, windows=len(windows))
    return MaskSet.concatenate(rows) if rows else masks, counts


def _ask(
    looking: Looking,
    looks: Sequence[Look],
    known: dict[Rle, _Answer],
    on_progress: OnProgress | None,
) -> None:
    """Adds the answers to some questions to those that are known."""
    done = 0
    if on_progress is not None:
        on_progress(done, len(looks))
    for all_seen in looking.ask(looks):
        for seen in all_seen:
            if seen.is_last and seen.look.mask is not None:
                known[seen.look.mask] = _answer(seen)
                done += 1
        if on_progress is not None:
            on_progress(done, len(looks))


def _answer(seen: Seen) -> _Answer:
    (masks,) = seen.masks_of_rank
    look = seen.look
    windows = (look.window,) if look.before is None else (look.before, look.window)
    is_whole = masks.rles[0].area_px > 0 and not seen.is_cut
    return _Answer(masks if is_whole else None, windows)


def _is_worth_it(masks: MaskSet, index: int) -> bool:
    """Whether a mask is small in what the network saw."""
    _, _, width, height = masks.crop_boxes_xywh_px[index].tolist()
    return masks.rles[index].area_px > 0 and is_small(_box(masks, index), (height, width))


def _box(masks: MaskSet, index: int) -> BoxXyxy:
    """Left, top, and one past right and bottom."""
    left, top, right, bottom = map(float, masks.boxes_xyxy_px[index])
    return left, top, right + 1, bottom + 1


def _look(masks: MaskSet, index: int) -> Look:
    """The question for a mask: itself, its box, and a point well inside."""
    rle, box = masks.rles[index], _box(masks, index)
    part_hw, (left, top) = mask_in_box(rle)
    x, y = deepest_point(part_hw)
    prompt = ObjectPrompt(points_xy_px=((x + left, y + top),), box_xyxy_px=box)
    return Look(index, (0,), prompt, window_around(box, masks.image_hw), rle)


def _is_as_good(answer: MaskSet, before: MaskSet) -> bool:
    """Whether no score of the network's own is lower; an unknown one does not count."""
    return not bool(
        (answer.predicted_iou < before.predicted_iou)[0]
        or (answer.stability_score < before.stability_score)[0]
    )


def _in_place_of(before: MaskSet, answer: MaskSet) -> MaskSet:
    """The answer as the mask that was asked for: with its point and its number."""
    return replace(
        answer, points_xy_px=before.points_xy_px, object_index=np.array(before.object_index)
    )
