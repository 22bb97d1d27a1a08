"""Asking about objects in windows of a picture, where the network sees them larger.

    a question and its window -> the window's features -> the same question there -> put back

What is small in the picture is asked for once more by two: prompted objects (`zooming`), and the
masks of everything mode (`everything.sharpening`). Masks go from the window to the picture as run
lengths; one window's features are held at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
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
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle, mask_in_box
from infer_segment_anything_2.sam2_engine.masks.rle import place_in_image
from infer_segment_anything_2.sam2_engine.prompted.prediction import predict
from infer_segment_anything_2.sam2_engine.prompted.windows import (
    Window,
    cut_sides,
    grown,
)
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings

__all__ = ["Embed", "Look", "Looking", "Seen", "drawn_in", "mask_in_window"]

Embed = Callable[[npt.NDArray[np.uint8], bool], PreparedImage]
"""Gives the features of a window's pixels; the flag says whether to remember them."""

# More windows than that are not remembered: they would push the pictures out of the cache.
_MOST_REMEMBERED = 4


@dataclass(frozen=True, eq=False)
class Look:
    """One question in one window.

    Attributes:
        index: The object's.
        ranks: Whose masks the answer replaces, all of the object's or one.
        prompt: The question, in pixels of the picture.
        window: Where it is asked.
        mask: A mask of the object in pixels of the picture, in place of the prompt's own.
        before: The smaller window that cut the answer, if there was one.
        gives_back: Whether the answer, with a point deep inside, is put beside the prompt, and that
            is asked too. Of one rank, and without a mask.
    """

    index: int
    ranks: tuple[int, ...]
    prompt: ObjectPrompt
    window: Window
    mask: Rle | None = None
    before: Window | None = None
    gives_back: bool = False


@dataclass(frozen=True, eq=False)
class Seen:
    """What was answered to a look.

    Attributes:
        look: The question.
        masks_of_rank: One set of one mask for each of its ranks, in pixels of the picture.
        is_cut: Whether the window cuts the best of them.
    """

    look: Look
    masks_of_rank: list[MaskSet]
    is_cut: bool

    @property
    def is_last(self) -> bool:
        """Whether the look is not asked once more in a larger window."""
        return not self.is_cut or self.look.before is not None


@dataclass(frozen=True, eq=False)
class Looking:
    """The picture and the network, for questions in windows.

    Attributes:
        decoder: Of the network.
        embed: Encodes a window.
        image_rgb_hwc: H x W x 3, the picture.
        settings: How masks are chosen; one mask or three is the looks' to say.
        one_by_one: Decode each question by itself: then no bit of an answer depends on what else
            is asked in the same window.
    """

    decoder: FastMaskDecoder
    embed: Embed
    image_rgb_hwc: npt.NDArray[np.uint8]
    settings: PredictionSettings
    one_by_one: bool = False

    def ask(self, looks: Sequence[Look]) -> Iterator[list[Seen]]:
        """Asks all questions, window by window; those of equal windows share one encoding.

        A window that cuts its best mask grows on those sides, and is asked once more, after all
        others: such a look is answered twice.

        Args:
            looks: The questions; their windows lie in the picture.
        """
        while looks:
            by_window: dict[Window, list[Look]] = defaultdict(list)
            for look in looks:
                by_window[look.window].append(look)
            remember = len(by_window) <= _MOST_REMEMBERED
            looks = []
            for window, here in by_window.items():
                image = self.embed(window.cut(self.image_rgb_hwc), remember)
                answers = self._answers(image, window, here)
                del image  # before the next window is encoded
                all_seen = [
                    self._seen(look, masks) for look, masks in zip(here, answers, strict=True)
                ]
                looks += [self._in_larger_window(seen) for seen in all_seen if not seen.is_last]
                yield all_seen

    def _seen(self, look: Look, masks_of_rank: Sequence[MaskSet]) -> Seen:
        """An answer in pixels of the window, as one of the picture."""
        placed = [_put_back(masks, look.window, self._hw, look.index) for masks in masks_of_rank]
        return Seen(look, placed, any(_cut_sides(placed[0], look.window, self._hw)))

    def _in_larger_window(self, seen: Seen) -> Look:
        """The same question where the mask is not cut."""
        window = seen.look.window
        cut = _cut_sides(seen.masks_of_rank[0], window, self._hw)
        return replace(seen.look, window=grown(window, cut, self._hw), before=window)

    def _answers(
        self, image: PreparedImage, window: Window, looks: Sequence[Look]
    ) -> list[list[MaskSet]]:
        """The masks of each look, one set of one mask a rank, in pixels of the window."""
        answers: list[list[MaskSet]] = [[]] * len(looks)
        for several in (False, True):
            places = [place for place, look in enumerate(looks) if (len(look.ranks) > 1) == several]
            settings = replace(self.settings, multimask_output=several)
            groups = [[place] for place in places] if self.one_by_one else [places]
            for group in filter(None, groups):
                prompts = [_in_window(looks[place], window, self._hw) for place in group]
                ranked = predict(self.decoder, image, prompts, settings).ranked
                for row, (place, prompt) in enumerate(zip(group, prompts, strict=True)):
                    answers[place] = [masks.select([row]) for masks in ranked]
                    if looks[place].gives_back:
                        answers[place] = [self._given_back(image, prompt, answers[place][0])]
        return answers

    def _given_back(self, image: PreparedImage, prompt: ObjectPrompt, answer: MaskSet) -> MaskSet:
        """What is answered when the answer stands beside the prompt; the first one for nothing."""
        if not answer.rles[0].area_px:
            return answer
        question = replace(prompt, mask=PromptMask(answer.rles[0].decode()))
        settings = replace(self.settings, multimask_output=False)
        (again,) = predict(self.decoder, image, [question], settings).ranked
        return again if again.rles[0].area_px else answer

    @property
    def _hw(self) -> tuple[int, int]:
        return self.image_rgb_hwc.shape[0], self.image_rgb_hwc.shape[1]


def _in_window(look: Look, window: Window, image_hw: tuple[int, int]) -> ObjectPrompt:
    """The same question in pixels of the window, without points beyond it."""
    prompt = look.prompt
    left, top = window.xy_px
    inside: BoxXyxy = window.box_xyxy_px
    kept = [
        ((x - left, y - top), label)
        for (x, y), label in zip(prompt.points_xy_px, prompt.labels, strict=True)
        if label == FOREGROUND_LABEL or holds(inside, (x, y))
    ]
    box = prompt.box_xyxy_px
    mask = (
        mask_in_window(prompt.mask, window, image_hw)
        if look.mask is None
        else PromptMask(drawn_in(window, look.mask))
    )
    return replace(
        prompt,
        points_xy_px=tuple(point for point, _ in kept),
        labels=tuple(label for _, label in kept),
        box_xyxy_px=box and (box[0] - left, box[1] - top, box[2] - left, box[3] - top),
        mask=mask,
    )


def mask_in_window(
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


def drawn_in(window: Window, mask: Rle) -> npt.NDArray[np.bool_]:
    """Draws a mask of the picture, that lies in a window wholly, in the window's pixels."""
    part_hw, (left, top) = mask_in_box(mask)
    drawn = np.zeros(window.hw, bool)
    if part_hw.size:
        x, y = left - window.xy_px[0], top - window.xy_px[1]
        drawn[y : y + part_hw.shape[0], x : x + part_hw.shape[1]] = part_hw
    return drawn


def _cut_sides(
    masks: MaskSet, window: Window, image_hw: tuple[int, int]
) -> tuple[bool, bool, bool, bool]:
    """At which sides a window cuts one mask, in pixels of the picture."""
    if not masks.rles[0].area_px:
        return (False, False, False, False)
    x, y = window.xy_px
    left, top, right, bottom = map(int, masks.boxes_xyxy_px[0])
    return cut_sides((left - x, top - y, right - x, bottom - y), window, image_hw)


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
