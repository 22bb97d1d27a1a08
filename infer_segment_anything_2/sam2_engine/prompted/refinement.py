"""Going on from an earlier answer: Meta's interactive protocol.

A further point on an object is answered better when the network sees its own last mask. What was
answered belongs to whoever asks (the engine keeps nothing), and names the picture it is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infer_segment_anything_2.prompts import ObjectPrompt

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Answered", "starts_for"]


@dataclass(frozen=True, eq=False)
class Answered:
    """What was asked last, and what came out.

    Attributes:
        picture: Tells the picture, its size for the network, and the network.
        objects: What was asked.
        starts: The logits that each object's answer started from, h x w, or None.
        logits_nhw: The answers.
    """

    picture: str
    objects: tuple[ObjectPrompt, ...]
    starts: tuple[Tensor | None, ...]
    logits_nhw: Tensor


def starts_for(
    objects: Sequence[ObjectPrompt], picture: str, answered: Answered | None
) -> list[Tensor | None]:
    """Finds the logits to start each object from.

    An object that was asked before with fewer points goes on from its answer. One that was asked
    in just the same way starts where it started then, so that the same question has the same
    answer however often it is asked. All others start from nothing.

    Args:
        objects: What is asked now.
        picture: See :class:`Answered`.
        answered: What was asked last, None at first.
    """
    if answered is None or answered.picture != picture:
        return [None] * len(objects)
    return [_start(prompt, answered) for prompt in objects]


def _start(prompt: ObjectPrompt, answered: Answered) -> Tensor | None:
    for index, earlier in enumerate(answered.objects):
        if (earlier.box_xyxy_px, earlier.mask) != (prompt.box_xyxy_px, prompt.mask):
            continue
        before, now = _labelled_points(earlier), _labelled_points(prompt)
        if before == now:
            return answered.starts[index]
        if before <= now:
            return answered.logits_nhw[index]
    return None


def _labelled_points(prompt: ObjectPrompt) -> Counter[tuple[tuple[float, float], int]]:
    return Counter(zip(prompt.points_xy_px, prompt.labels, strict=True))
