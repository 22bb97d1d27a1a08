"""Looking closer: prompted objects asked for once more, each in a window of the picture.

The network sees a picture made small. In a window around an object it sees the same object large.

    first answer on the picture -> a window per object -> the same question there -> put back

A box says where its object is; without one each of the first answers does, and stands in for the
box. Masks go from the window to the picture as run lengths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import (
    FOREGROUND_LABEL,
    BoxXyxy,
    ObjectPrompt,
    PromptMask,
    holds,
)
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.rle import place_in_image
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import with_support
from infer_segment_anything_2.sam2_engine.prompted.prediction import Prediction, predict
from infer_segment_anything_2.sam2_engine.prompted.windows import (
    Window,
    around,
    cut_sides,
    grown,
    is_small,
    window_around,
)
from infer_segment_anything_2.sam2_engine.settings import OnProgress, PredictionSettings

__all__ = ["Embed", "zoomed"]

Embed = Callable[[npt.NDArray[np.uint8], bool], PreparedImage]
"""Gives the features of a window's pixels; the flag says whether to remember them."""

# More windows than that are not remembered: they would push the pictures out of the cache.
_MOST_REMEMBERED = 4


@dataclass(frozen=True, eq=False)
class _Look:
    """One question in one window.

    Attributes:
        index: The object's.
        ranks: Whose masks the answer replaces, all of the object's or one.
        prompt: The question, in pixels of the picture.
        extent_xyxy_px: Its box with all its points on the object.
        window: Where it is asked.
    """

    index: int
    ranks: tuple[int, ...]
    prompt: ObjectPrompt
    extent_xyxy_px: BoxXyxy
    window: Window


def zoomed(
    decoder: FastMaskDecoder,
    embed: Embed,
    image_rgb_hwc: npt.NDArray[np.uint8],
    objects: Sequence[ObjectPrompt],
    first: Prediction,
    settings: PredictionSettings,
    on_progress: OnProgress | None = None,
) -> Prediction:
    """Asks for every object once more, in a window of its own.

    A window holds the object's box and its points on the object. Points on the background that lie
    beyond it are left out. A window that cuts its mask grows, and is asked once more. A window in
    which nothing is found changes nothing.

    Args:
        decoder: Of the network.
        embed: Encodes a window.
        image_rgb_hwc: H x W x 3, the picture.
        objects: What was asked, in pixels of the picture.
        first: What was answered on the whole picture.
        settings: As they were for the first answer; ``zoom`` says which objects are looked at.
        on_progress: Called before each window with the numbers of objects done and in all; an
            exception from it ends the prediction.

    Returns:
        The masks, in the order of the first answers. The logits are those of the first answers.

    Raises:
        DeviceError: The memory does not suffice.
    """
    image_hw = first.ranked[0].image_hw
    looks = [
        look
        for index, prompt in enumerate(objects)
        for look in _looks(index, with_support(prompt, image_hw, settings.mask_support), first)
        if settings.zoom == "always"
        or (_is_outlined(prompt) and is_small(look.extent_xyxy_px, image_hw))
    ]
    asking = _Asking(decoder, embed, image_rgb_hwc, settings)
    rows = [[masks.select([index]) for index in range(len(objects))] for masks in first.ranked]
    done = 0
    for again in (False, True):
        by_window: dict[Window, list[_Look]] = defaultdict(list)
        for look in looks:
            by_window[look.window].append(look)
        looks = []
        for window, here in by_window.items():
            if on_progress is not None:
                on_progress(min(done, len(objects)), len(objects))
            answers = asking.answers(window, here, remember=len(by_window) <= _MOST_REMEMBERED)
            for look, masks_of_rank in zip(here, answers, strict=True):
                cut = _cut_sides(masks_of_rank, window, image_hw)
                if any(cut) and not again:
                    looks.append(replace(look, window=grown(window, cut, image_hw)))
                for rank, masks in zip(look.ranks, masks_of_rank, strict=True):
                    if masks.rles[0].area_px:
                        rows[rank][look.index] = _put_back(masks, window, image_hw, look.index)
            done += sum(0 in look.ranks for look in here)
    return replace(first, ranked=tuple(map(MaskSet.concatenate, rows)))


def _looks(index: int, prompt: ObjectPrompt, first: Prediction) -> list[_Look]:
    """What to ask in which windows: an object with a box once, one of points for each rank."""
    image_hw = first.ranked[0].image_hw
    if prompt.box_xyxy_px is not None:
        ranks = tuple(range(len(first.ranked)))
        return [_look(index, ranks, prompt, prompt.box_xyxy_px, image_hw)]
    looks = []
    for rank, masks in enumerate(first.ranked):
        if masks.rles[index].area_px:
            left, top, right, bottom = map(float, masks.boxes_xyxy_px[index])
            box = (left, top, right + 1, bottom + 1)
            looks.append(_look(index, (rank,), prompt, box, image_hw))
    return looks


def _is_outlined(prompt: ObjectPrompt) -> bool:
    """Whether an object's size is known, not guessed from points."""
    return prompt.box_xyxy_px is not None or prompt.mask is not None


def _look(
    index: int,
    ranks: tuple[int, ...],
    prompt: ObjectPrompt,
    box: BoxXyxy,
    image_hw: tuple[int, int],
) -> _Look:
    extent = around(box, *((x, y, x, y) for x, y in prompt.clicks_xy_px))
    boxed = replace(prompt, box_xyxy_px=box)
    return _Look(index, ranks, boxed, extent, window_around(extent, image_hw))


@dataclass(frozen=True, eq=False)
class _Asking:
    """The picture and the network, for questions in windows."""

    decoder: FastMaskDecoder
    embed: Embed
    image_rgb_hwc: npt.NDArray[np.uint8]
    settings: PredictionSettings

    def answers(
        self, window: Window, looks: Sequence[_Look], *, remember: bool
    ) -> list[list[MaskSet]]:
        """The masks of each look, one set of one mask a rank, in pixels of the window."""
        image = self.embed(window.cut(self.image_rgb_hwc), remember)
        answers: list[list[MaskSet]] = [[]] * len(looks)
        for several in (False, True):
            places = [place for place, look in enumerate(looks) if (len(look.ranks) > 1) == several]
            if not places:
                continue
            prompts = [_in_window(looks[place].prompt, window, self._hw) for place in places]
            settings = replace(self.settings, multimask_output=several)
            ranked = predict(self.decoder, image, prompts, settings).ranked
            for row, place in enumerate(places):
                answers[place] = [masks.select([row]) for masks in ranked]
        return answers

    @property
    def _hw(self) -> tuple[int, int]:
        return self.image_rgb_hwc.shape[0], self.image_rgb_hwc.shape[1]


def _in_window(prompt: ObjectPrompt, window: Window, image_hw: tuple[int, int]) -> ObjectPrompt:
    """The same question in pixels of the window, without points beyond it."""
    left, top = window.xy_px
    inside: BoxXyxy = window.box_xyxy_px
    kept = [
        ((x - left, y - top), label)
        for (x, y), label in zip(prompt.points_xy_px, prompt.labels, strict=True)
        if label == FOREGROUND_LABEL or holds(inside, (x, y))
    ]
    box = prompt.box_xyxy_px
    return replace(
        prompt,
        points_xy_px=tuple(point for point, _ in kept),
        labels=tuple(label for _, label in kept),
        box_xyxy_px=box and (box[0] - left, box[1] - top, box[2] - left, box[3] - top),
        mask=_mask_in_window(prompt.mask, window, image_hw),
    )


def _mask_in_window(
    mask: PromptMask | None, window: Window, image_hw: tuple[int, int]
) -> PromptMask | None:
    """The part of a mask prompt that lies in a window, in the window's pixels; None for nothing."""
    if mask is None:
        return None
    (left, top), (height, width) = window.xy_px, window.hw
    mask_height, mask_width = mask.mask_hw.shape
    rows = (np.arange(top, top + height) + 0.5) * mask_height / image_hw[0]
    columns = (np.arange(left, left + width) + 0.5) * mask_width / image_hw[1]
    cut = mask.mask_hw[np.ix_(rows.astype(np.int64), columns.astype(np.int64))]
    return PromptMask(cut) if cut.any() else None


def _cut_sides(
    masks_of_rank: Sequence[MaskSet], window: Window, image_hw: tuple[int, int]
) -> tuple[bool, bool, bool, bool]:
    """At which sides the window cuts the best mask."""
    best = masks_of_rank[0]
    if not best.rles[0].area_px:
        return (False, False, False, False)
    left, top, right, bottom = map(int, best.boxes_xyxy_px[0])
    return cut_sides((left, top, right, bottom), window, image_hw)


def _put_back(masks: MaskSet, window: Window, image_hw: tuple[int, int], index: int) -> MaskSet:
    """One mask of a window as one of the picture."""
    left, top = window.xy_px
    counts = place_in_image(masks.rles[0].counts, window.hw, window.xy_px, image_hw)
    return replace(
        masks,
        image_hw=image_hw,
        rles=(Rle(image_hw, counts),),
        boxes_xyxy_px=masks.boxes_xyxy_px + np.array([left, top, left, top]),
        crop_boxes_xywh_px=np.array([[left, top, *window.hw[::-1]]], np.int64),
        object_index=np.array([index], np.int64),
    )
