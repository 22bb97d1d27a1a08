"""From prompted objects to masks, equal to Meta's ``SAM2ImagePredictor``.

Meta's predictor takes one object, or several with equal numbers of points. Here each object has
its own number; objects with the same number of tokens go through the decoder together, because
padding tokens would change the result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    DecodedPrompts,
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.decoder.prompting import (
    BOX_CORNER_LABELS,
    SINGLE_MASK_TOKEN,
    PromptEmbedder,
    clamped,
    ranked_tokens,
    single_mask_is_stable,
)
from infer_segment_anything_2.sam2_engine.hardware.memory import (
    Halving,
)
from infer_segment_anything_2.sam2_engine.masks.cleaning import clean
from infer_segment_anything_2.sam2_engine.masks.from_logits import mask_set_from_logits
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import mask_logits, with_support
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    MaskSupport,
    OnProgress,
    PredictionSettings,
)

__all__ = ["Prediction", "cleaned", "predict"]

# Prompts decoded together: enough to fill the matrix products, few enough to stay in the cache.
_OBJECTS_PER_BATCH = 16
_REMEDY = "Take a smaller model_name, or close what else uses the device."


@dataclass(frozen=True, eq=False)
class Prediction:
    """Masks of prompted objects.

    Attributes:
        ranked: One set per rank, 1 or 3, best first; row i of each is object i.
        low_res_logits_nhw: Float32, n x 4h x 4w, the best mask's logits of each object, clamped as
            Meta's; to start a refinement from.
    """

    ranked: tuple[MaskSet, ...]
    low_res_logits_nhw: Tensor


def predict(
    decoder: FastMaskDecoder,
    image: PreparedImage,
    objects: Sequence[ObjectPrompt],
    settings: PredictionSettings,
    *,
    start_logits: Sequence[Tensor | None] | None = None,
    on_progress: OnProgress | None = None,
) -> Prediction:
    """Predicts masks for every object.

    Args:
        decoder: Of the network.
        image: The picture, prepared by ``decoder``.
        objects: At least one; their pixels are of that picture.
        settings: How masks are chosen.
        start_logits: For each object the logits of an earlier answer (a row of
            ``Prediction.low_res_logits_nhw``) to start from, or None; they stand in for its mask.
        on_progress: Called with the number of objects done and their total before each batch; an
            exception from it ends the prediction.

    Raises:
        DeviceError: The memory does not suffice even for one object at a time.
    """
    image_hw = image.embedding.image_hw
    starts = _starts(decoder.prompts.mask_size_hw, objects, start_logits, settings.mask_support)
    objects = [with_support(prompt, image_hw, settings.mask_support) for prompt in objects]
    asking = _Asking(decoder, image, objects, starts, settings)
    parts = Halving(_OBJECTS_PER_BATCH, decoder.device, "decode one object", _REMEDY)
    chosen = [(torch.empty(0), torch.empty(0))] * len(objects)
    done = 0
    for indices in _batches(objects, starts):
        if on_progress is not None:
            on_progress(done, len(objects))
        answers = chain.from_iterable(parts.run(asking.answer, indices))
        for index, answer in zip(indices, answers, strict=True):
            chosen[index] = answer
        done += len(indices)
    logits_nrhw = torch.stack([logits_rhw for logits_rhw, _ in chosen])
    scores_nr = torch.stack([scores_r for _, scores_r in chosen])
    ranked = tuple(
        mask_set_from_logits(
            logits_nrhw[:, rank],
            scores_nr[:, rank],
            image_hw,
            mask_threshold=settings.mask_threshold,
            stability_score_offset=settings.stability_score_offset,
        )
        for rank in range(scores_nr.shape[1])
    )
    return Prediction(ranked, clamped(logits_nrhw[:, 0]))


def cleaned(
    prediction: Prediction, objects: Sequence[ObjectPrompt], settings: CleaningSettings
) -> Prediction:
    """Cleans the masks of every rank; the logits to go on from stay as they are."""
    clicks = [prompt.clicks_xy_px for prompt in objects]
    ranked = tuple(clean(masks, settings, clicks).masks for masks in prediction.ranked)
    return replace(prediction, ranked=ranked)


def _starts(
    size_hw: tuple[int, int],
    objects: Sequence[ObjectPrompt],
    start_logits: Sequence[Tensor | None] | None,
    support: MaskSupport,
) -> list[Tensor | None]:
    """The mask prompt of each object, h x w: its earlier answer, or its mask, or None."""

    def start(prompt: ObjectPrompt, earlier: Tensor | None) -> Tensor | None:
        if earlier is not None or prompt.mask is None:
            return earlier
        return mask_logits(prompt.mask.mask_hw, size_hw, support.logit)

    return list(map(start, objects, start_logits or [None] * len(objects)))


def _batches(
    objects: Sequence[ObjectPrompt], starts: Sequence[Tensor | None]
) -> Iterator[list[int]]:
    """Indices of objects with the same number of tokens, all with or all without a mask."""
    alike: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for index, (prompt, start) in enumerate(zip(objects, starts, strict=True)):
        corners = 0 if prompt.box_xyxy_px is None else len(BOX_CORNER_LABELS)
        alike[len(prompt.points_xy_px) + corners, start is not None].append(index)
    for indices in alike.values():
        for first in range(0, len(indices), _OBJECTS_PER_BATCH):
            yield indices[first : first + _OBJECTS_PER_BATCH]


def _tokens(
    embedder: PromptEmbedder,
    objects: Sequence[ObjectPrompt],
    image_hw: tuple[int, int],
    device: torch.device,
) -> Tensor:
    """Tokens B x n x C of objects with the same number of them.

    A box is two labelled points before the others, as in ``SAM2ImagePredictor._predict``.
    """
    coordinates, labels = [], []
    for prompt in objects:
        corners: list[tuple[float, float]] = []
        if prompt.box_xyxy_px is not None:
            x1, y1, x2, y2 = prompt.box_xyxy_px
            corners = [(x1, y1), (x2, y2)]
        coordinates.append([*corners, *prompt.points_xy_px])
        labels.append([*BOX_CORNER_LABELS[: len(corners)], *prompt.labels])
    points_bn2 = torch.tensor(coordinates, dtype=torch.float32, device=device)
    labels_bn = torch.tensor(labels, dtype=torch.int32, device=device)
    return embedder.points(points_bn2.reshape(len(objects), -1, 2), labels_bn, image_hw)


@dataclass(frozen=True, eq=False)
class _Asking:
    """The objects of one picture, with the masks to start from, on their way to the decoder."""

    decoder: FastMaskDecoder
    image: PreparedImage
    objects: Sequence[ObjectPrompt]
    starts: Sequence[Tensor | None]
    settings: PredictionSettings

    def answer(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Logits and scores of each object."""
        embedder, device = self.decoder.prompts, self.decoder.device
        asked = [self.objects[index] for index in indices]
        starts = [self.starts[index] for index in indices]
        sparse_bnc = _tokens(embedder, asked, self.image.embedding.image_hw, device)
        masks = [start.to(device) for start in starts if start is not None]
        dense_bchw = embedder.masks(torch.stack(masks)) if masks else None
        decoded = self.decoder.decode(self.image, sparse_bnc, dense_bchw)
        iou_bm = decoded.iou_bm.float().cpu()
        return [self._choose(decoded, iou_t, row) for row, iou_t in enumerate(iou_bm)]

    def _choose(self, decoded: DecodedPrompts, iou_t: Tensor, row: int) -> tuple[Tensor, Tensor]:
        """Logits (ranks x 4h x 4w) and predicted IoU (ranks) of one object, best first."""
        by_score = ranked_tokens(iou_t[None])[0]

        def logits_of(tokens: Tensor) -> Tensor:
            return self.decoder.mask_logits(
                self.image, decoded, np.full(len(tokens), row), tokens.numpy()
            ).float()

        if self.settings.multimask_output:
            return logits_of(by_score), iou_t[by_score]
        single = torch.tensor([SINGLE_MASK_TOKEN])
        logits_1hw = logits_of(single)
        if self.settings.prefer_stable and not bool(single_mask_is_stable(logits_1hw)):
            single = by_score[:1]
            logits_1hw = logits_of(single)
        return logits_1hw, iou_t[single]
