"""Looking closer: prompted objects asked for once more, each in a window of the picture.

The network sees a picture made small. In a window around an object it sees the same object large.
A box says where its object is; without one each of the first answers does, and stands in for the
box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import BoxXyxy, ObjectPrompt
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.prompted.looking import Embed, Look, Looking
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import with_support
from infer_segment_anything_2.sam2_engine.prompted.prediction import Prediction
from infer_segment_anything_2.sam2_engine.prompted.windows import (
    around,
    is_small,
    window_around,
)
from infer_segment_anything_2.sam2_engine.settings import OnProgress, PredictionSettings

__all__ = ["zoomed"]


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
    beyond it are left out. Where a box asks for one mask, the answer in the window is put beside
    the box as a mask, with a point deep inside, and that is asked too. A window that cuts its mask
    grows, and is asked once more. A window in which nothing is found changes nothing.

    Args:
        decoder: Of the network.
        embed: Encodes a window.
        image_rgb_hwc: H x W x 3, the picture.
        objects: What was asked, in pixels of the picture.
        first: What was answered on the whole picture.
        settings: As they were for the first answer; ``zoom`` says which objects are looked at.
        on_progress: Called before the first window and after each with the numbers of objects done
            and in all; an exception from it ends the prediction.

    Returns:
        The masks, in the order of the first answers. The logits are those of the first answers.

    Raises:
        DeviceError: The memory does not suffice.
    """
    image_hw = first.ranked[0].image_hw
    looks = [
        look
        for index, prompt in enumerate(objects)
        for look in _looks(
            index, with_support(prompt, image_hw, settings.mask_support), first, settings
        )
    ]
    rows = [[masks.select([index]) for index in range(len(objects))] for masks in first.ranked]
    done = 0
    if on_progress is not None:
        on_progress(done, len(objects))
    for all_seen in Looking(decoder, embed, image_rgb_hwc, settings).ask(looks):
        for seen in all_seen:
            for rank, masks in zip(seen.look.ranks, seen.masks_of_rank, strict=True):
                if masks.rles[0].area_px:
                    rows[rank][seen.look.index] = masks
            done += 0 in seen.look.ranks
        if on_progress is not None:
            on_progress(min(done, len(objects)), len(objects))
    return replace(first, ranked=tuple(map(MaskSet.concatenate, rows)))


def _looks(
    index: int, prompt: ObjectPrompt, first: Prediction, settings: PredictionSettings
) -> list[Look]:
    """What to ask in which windows: an object with a box once, one of points for each rank."""
    image_hw = first.ranked[0].image_hw
    if prompt.box_xyxy_px is not None:
        extent = _extent(prompt, prompt.box_xyxy_px)
        if settings.zoom == "auto" and not is_small(extent, image_hw):
            return []
        ranks = tuple(range(len(first.ranked)))
        gives_back = prompt.mask is None and len(ranks) == 1
        window = window_around(extent, image_hw)
        return [Look(index, ranks, prompt, window, gives_back=gives_back)]
    if settings.zoom == "auto" and prompt.mask is None:  # a size guessed from points
        return []
    looks = []
    for rank, masks in enumerate(first.ranked):
        if masks.rles[index].area_px:
            left, top, right, bottom = map(float, masks.boxes_xyxy_px[index])
            box = (left, top, right + 1, bottom + 1)
            extent = _extent(prompt, box)
            if settings.zoom == "always" or is_small(extent, image_hw):
                boxed = replace(prompt, box_xyxy_px=box)
                looks.append(Look(index, (rank,), boxed, window_around(extent, image_hw)))
    return looks


def _extent(prompt: ObjectPrompt, box: BoxXyxy) -> BoxXyxy:
    """A box with all the object's points on it."""
    return around(box, *((x, y, x, y) for x, y in prompt.clicks_xy_px))
