"""From frame to frame: what ``SAM2VideoPredictor`` computes, as a function of a state.

Meta's predictor holds a whole clip and every frame's outputs. Here a frame goes in with the state
before it, masks and the state after it come out, and nothing is kept elsewhere; what a state holds
is bounded (see `object_memory`). To track backwards, give the frames in reverse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.image.embedding import Embedding
from infer_segment_anything_2.sam2_engine.masks.from_logits import mask_set_from_logits
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import mask_logits
from infer_segment_anything_2.sam2_engine.settings import TrackingSettings
from infer_segment_anything_2.sam2_engine.tracking.mask_heads import (
    Answers,
    MaskHeads,
)
from infer_segment_anything_2.sam2_engine.tracking.memory_attention import (
    MemoryAttention,
    MemoryTokens,
)
from infer_segment_anything_2.sam2_engine.tracking.memory_encoder import encode_memories
from infer_segment_anything_2.sam2_engine.tracking.object_memory import (
    FrameMemory,
    FramePointer,
    ObjectMemory,
    TrackerState,
)

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["TrackedFrame", "Tracker"]

_CONFIDENT_IOU = 0.5


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """What was found in one frame.

    Attributes:
        masks: One mask per object that is there, in the order of the objects' first prompts;
            ``object_index`` is the object's id.
        presence: Per object id the network's logit that the object is there: above 0 it is.
        low_res_logits: Per object id the mask's logits, float32, 4h x 4w; -1024 throughout where
            the object is absent.
        prompted_ids: The objects that were prompted on this frame.
        state: To be given with the next frame.
    """

    masks: MaskSet
    presence: Mapping[int, float]
    low_res_logits: Mapping[int, Tensor]
    prompted_ids: frozenset[int]
    state: TrackerState


class _Found(NamedTuple):
    """One object in a frame.

    Attributes:
        answers: The decoder's answers, n = 1.
        features_1chw: What the decoder saw.
    """

    answers: Answers
    features_1chw: Tensor


class _Frame(NamedTuple):
    """A frame on its way through the network."""

    image: Embedding
    number: int
    settings: TrackingSettings


class Tracker:
    """Follows objects with one network. Nothing is kept between calls.

    Args:
        network: Meta's network in evaluation mode.
        precision: float32, or a half precision for memory attention and memory encoder.
    """

    def __init__(self, network: SAM2Base, precision: torch.dtype = torch.float32) -> None:
        self._network = network
        self._precision = precision
        self._attention = MemoryAttention(network)
        self._heads = MaskHeads(network)

    @torch.no_grad()
    def track(
        self,
        embed: Callable[[], Embedding],
        image_hw: tuple[int, int],
        state: TrackerState,
        prompts: Mapping[int, ObjectPrompt],
        settings: TrackingSettings,
    ) -> TrackedFrame:
        """Finds the tracked and the prompted objects in the next frame.

        Args:
            embed: Gives the frame's features; not called where there is nothing to be found.
            image_hw: Height and width of the frame in pixels.
            state: From the frame before; never changed.
            prompts: By object id, in pixels of the frame. A new id is a new object. A known one's
                points and box correct the mask that is found without them; its mask replaces it.
            settings: How objects are followed.

        Raises:
            PromptError: A prompt is empty, or the frame has another size than those before.
        """
        _check(image_hw, state, prompts)
        if not state.objects and not prompts:
            after = TrackerState(state.frame_count + 1, state.image_hw)
            return TrackedFrame(MaskSet.empty(image_hw), {}, {}, frozenset(), after)
        frame = _Frame(embed(), state.frame_count, settings)
        found = self._follow(frame, state.objects, prompts)
        answers = {number: one.answers for number, one in found.items()}
        for number, prompt in prompts.items():
            answers[number] = self._ask(frame, prompt, found.get(number))
        features = self._encode(frame, answers, frozenset(prompts))
        objects = {memory.object_id: memory for memory in state.objects}
        for number, answer in answers.items():
            memory = objects.get(number, ObjectMemory(number))
            is_prompted = number in prompts
            objects[number] = _after(frame, memory, answer, features.get(number), is_prompted)
        after = TrackerState(state.frame_count + 1, image_hw, tuple(objects.values()))
        in_order = {number: answers[number] for number in after.object_ids}
        return _tracked_frame(in_order, frozenset(prompts), after, settings)

    def _follow(
        self, frame: _Frame, memories: Sequence[ObjectMemory], prompts: Mapping[int, ObjectPrompt]
    ) -> dict[int, _Found]:
        """Finds the known objects by their memories, but those that are given anew by a mask."""
        settings = frame.settings
        alike: dict[tuple[int, int], list[tuple[int, MemoryTokens]]] = defaultdict(list)
        for memory in memories:
            if memory.object_id in prompts and _is_mask_alone(prompts[memory.object_id]):
                continue
            tokens = self._attention.tokens(
                memory, frame.number, settings.memory_rule, settings.frame_count
            )
            alike[tokens.kind].append((memory.object_id, tokens))
        if not alike:
            return {}
        with self._in_precision():
            query = self._attention.prepare(frame.image.image_embed_bchw)
        found = {}
        for group in alike.values():
            for some in _chunks(group, settings.batch_objects):
                with self._in_precision():
                    features_bchw = self._attention.remember(
                        query, MemoryTokens.together([tokens for _, tokens in some])
                    )
                answers = self._heads.follow(features_bchw.float(), frame.image)
                for row, (number, _) in enumerate(some):
                    found[number] = _Found(answers.row(row), features_bchw[row : row + 1].float())
        return found

    def _ask(self, frame: _Frame, prompt: ObjectPrompt, found: _Found | None) -> Answers:
        """Finds one prompted object; corrects what was found without the prompt, if anything."""
        if prompt.mask is not None and _is_mask_alone(prompt):
            return self._heads.accept(frame.image, prompt.mask)
        start_logits_hw = None
        if prompt.mask is not None:
            size_hw = self._heads.prompts.mask_size_hw
            start_logits_hw = mask_logits(prompt.mask.mask_hw, size_hw, frame.settings.mask_logit)
        elif found is not None:
            start_logits_hw = found.answers.logits_nhw[0]
        features_1chw = (
            frame.image.image_embed_bchw + self._network.no_mem_embed.view(1, -1, 1, 1)
            if found is None
            else found.features_1chw
        )
        return self._heads.prompt(
            features_1chw, frame.image, prompt, start_logits_hw, frame.settings.prefer_stable
        )

    def _encode(
        self, frame: _Frame, answers: Mapping[int, Answers], prompted: frozenset[int]
    ) -> dict[int, Tensor]:
        """The features to remember per object id; none where an object is not worth it."""
        followed = [
            number
            for number, answer in answers.items()
            if number not in prompted and _is_worth_remembering(answer, frame.settings)
        ]
        present = [number for number in followed if answers[number].is_there]
        absent = [number for number in followed if not answers[number].is_there]
        features: dict[int, Tensor] = {}
        for numbers, were_prompted in (
            (present, False),
            (absent[:1], False),  # their masks are all the same
            ([*prompted], True),
        ):
            for some in _chunks(numbers, frame.settings.batch_objects):
                with self._in_precision():
                    encoded = encode_memories(
                        self._network,
                        frame.image.image_embed_bchw,
                        torch.cat([answers[number].logits_nhw for number in some]),
                        torch.cat([answers[number].presence_n for number in some]),
                        were_prompted=were_prompted,
                        binarise=frame.settings.binarise_prompted,
                    )
                features.update(zip(some, encoded, strict=True))
        features.update((number, features[absent[0]]) for number in absent)
        return features

    def _in_precision(self) -> AbstractContextManager[object]:
        if self._precision == torch.float32:
            return nullcontext()
        return torch.autocast(self._network.device.type, dtype=self._precision)


def _check(
    image_hw: tuple[int, int], state: TrackerState, prompts: Mapping[int, ObjectPrompt]
) -> None:
    if state.objects and image_hw != state.image_hw:
        (height, width), (old_height, old_width) = image_hw, state.image_hw
        raise PromptError(
            f"A tracked video changed its size: expected a frame of {old_width}x{old_height}, got "
            f"{width}x{height}. Start it with a new state, and prompt the objects again."
        )
    for number, prompt in prompts.items():
        if not (prompt.points_xy_px or prompt.box_xyxy_px or prompt.mask):
            raise PromptError(
                f"The prompt of object {number} is empty: expected points, a box or a mask, got "
                "none of them. Leave the object out where nothing is to be said of it.",
                key=prompt.key,
            )


def _is_mask_alone(prompt: ObjectPrompt) -> bool:
    return not prompt.points_xy_px and prompt.box_xyxy_px is None


def _is_worth_remembering(answer: Answers, settings: TrackingSettings) -> bool:
    if settings.memory_rule == "meta":
        return True
    return answer.is_there and float(answer.predicted_iou_n) > _CONFIDENT_IOU


def _after(
    frame: _Frame,
    memory: ObjectMemory,
    answer: Answers,
    features_nc: Tensor | None,
    is_prompted: bool,
) -> ObjectMemory:
    """An object's memory behind a frame."""
    pointer_c = answer.pointers_nc[0].clone()  # not the whole batch's memory
    remembered = None if features_nc is None else FrameMemory(frame.number, pointer_c, features_nc)
    rule = frame.settings.memory_rule
    if remembered is not None and is_prompted:
        return memory.with_prompted(remembered, frame.settings.max_prompted_frames, rule)
    return memory.with_tracked(FramePointer(frame.number, pointer_c), remembered, rule)


def _tracked_frame(
    answers: Mapping[int, Answers],
    prompted: frozenset[int],
    state: TrackerState,
    settings: TrackingSettings,
) -> TrackedFrame:
    present = [number for number, answer in answers.items() if answer.is_there]
    masks = MaskSet.empty(state.image_hw)
    if present:
        masks = mask_set_from_logits(
            torch.cat([answers[number].logits_nhw for number in present]),
            torch.cat([answers[number].predicted_iou_n for number in present]),
            state.image_hw,
            mask_threshold=settings.mask_threshold,
            stability_score_offset=settings.stability_score_offset,
            object_index=present,
        )
    return TrackedFrame(
        masks,
        {number: float(answer.presence_n) for number, answer in answers.items()},
        {number: answer.logits_nhw[0] for number, answer in answers.items()},
        prompted,
        state,
    )


Item = TypeVar("Item")


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
