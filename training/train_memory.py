"""Trains the memory on clips, all else frozen; `python -m training.train_memory --help`.

The frozen encoder's features of a pool of clips are reckoned once. Steps of two frames come first:
while nothing is tracked, longer clips teach nothing.
"""

import argparse
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from training.clips import Clip, draw_clip
from training.dataset import FIRST_TRAINING_SEED
from training.network import build_network, load_weights, normalise, save_weights
from training.picture_bank import DEFAULT_FOLDER, load_bank
from training.prompts import box_of
from training.tracking import (
    FrameFeatures,
    Track,
    at_size,
    encode_frames,
    frame_loss,
    prepare_memory,
    trainable,
)
from training.train import make_optimisers

_LOGGER = logging.getLogger("training")
_LEAST_AREA_PX = 400


@dataclass(frozen=True)
class PooledClip:
    """A clip with its features; T frames."""

    clip: Clip
    features: FrameFeatures


@dataclass(frozen=True)
class Lesson:
    """N objects on some frames.

    Attributes:
        frames: Features, one row an object, frame by frame.
        masks_tnhw: Their masks at the input's size.
    """

    frames: list[FrameFeatures]
    masks_tnhw: Tensor


def pooled_clip(network: SAM2Base, clip: Clip) -> PooledClip:
    """Encodes a clip, frame by frame: that takes the least memory."""
    rows = [
        encode_frames(network, normalise(torch.from_numpy(image[None])))
        for image in clip.images_thwc
    ]
    parts = zip(*((r.high_res_s0, r.high_res_s1, r.features) for r in rows), strict=True)
    return PooledClip(clip, FrameFeatures(*(torch.cat(part) for part in parts)))


def draw_lesson(
    pool: list[PooledClip], rng: np.random.Generator, frames: int, objects: int
) -> Lesson:
    """Draws objects that are seen in the first of some frames of a clip, forwards or backwards."""
    while True:
        pooled = pool[int(rng.integers(len(pool)))]
        length = len(pooled.clip.images_thwc)
        stride = int(rng.integers(1, (length - 1) // (frames - 1) + 1)) if frames > 1 else 1
        first = int(rng.integers(0, length - stride * (frames - 1)))
        which = np.arange(first, first + stride * frames, stride)[:frames]
        which = which[::-1] if rng.random() < 0.5 else which
        ids = pooled.clip.object_ids_thw[which]
        seen = np.bincount(ids[0].ravel(), minlength=pooled.clip.objects + 1)[1:]
        numbers = 1 + np.nonzero(seen >= _LEAST_AREA_PX)[0]
        if len(numbers):
            numbers = rng.permutation(numbers)[:objects]
            masks = torch.from_numpy(ids[:, None] == numbers[None, :, None, None])
            rows = [torch.full((len(numbers),), int(frame)) for frame in which]
            return Lesson([pooled.features.rows(row) for row in rows], masks)


def lesson_loss(
    network: SAM2Base, lesson: Lesson, logit_scale: float, *, by_mask: bool
) -> tuple[Tensor, float]:
    """Prompts the first frame and tracks through the others; returns loss and mean J."""
    masks = lesson.masks_tnhw
    track = Track(network, len(masks), masks.shape[1])
    if by_mask:
        track.start_by_mask(lesson.frames[0], masks[0][:, None].float())
    else:
        boxes = np.stack([box_of(mask) for mask in masks[0].numpy()]).reshape(-1, 2, 2)
        track.start_by_box(lesson.frames[0], torch.from_numpy(boxes))
    losses, overlaps = [], []
    for number in range(1, len(masks)):
        wanted = masks[number]
        present = wanted.flatten(1).any(dim=1).float()[:, None]
        answer = track.step(lesson.frames[number], present, last=number == len(masks) - 1)
        at_logits = at_size(wanted, answer.candidates.shape[-1])
        losses.append(frame_loss(answer, at_logits, logit_scale))
        overlaps.append(jaccard((answer.chosen[:, 0] > 0), wanted).mean())
    return torch.stack(losses).mean(), float(torch.stack(overlaps).mean())


def jaccard(answered_nhw: Tensor, wanted_nhw: Tensor) -> Tensor:
    """IoU of N masks; 1 where both are empty."""
    common = (answered_nhw & wanted_nhw).flatten(1).sum(dim=1)
    either = (answered_nhw | wanted_nhw).flatten(1).sum(dim=1)
    return torch.where(either > 0, common / either.clamp(min=1), 1.0)


def frames_at(done: float, shortest: int, longest: int) -> int:
    """Frames of a lesson: at first as few as there may be, then up to four, then as many."""
    return shortest if done < 0.5 else max(shortest, min(4, longest)) if done < 0.85 else longest


def main() -> None:
    """Trains for some minutes and writes the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start", type=Path, help="weights whose pictures are final")
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--bank", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clips", type=int, default=40, help="clips in the pool")
    parser.add_argument("--frames", type=int, default=8, help="frames of each")
    parser.add_argument("--objects", type=int, default=3, help="objects a lesson, at most")
    parser.add_argument("--shortest", type=int, default=2, help="frames of the first lessons")
    parser.add_argument("--longest", type=int, default=6, help="frames of the longest lessons")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--logit-scale", type=float, default=1.0, help="of the calibration")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    network = build_network(options.config)
    load_weights(network, options.start)
    network.train()
    trainable(network)
    bank = load_bank(options.bank)
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + options.clips)
    size_px = network.image_size
    pool = [pooled_clip(network, draw_clip(s, bank, options.frames, size_px)) for s in seeds]
    _LOGGER.info("%d clips", len(pool))
    prepare_memory(network, pool[0].features)
    _run(network, pool, options)
    save_weights(network.state_dict(), options.out)


def _run(network: SAM2Base, pool: list[PooledClip], options: argparse.Namespace) -> None:
    free = [p for p in network.parameters() if p.requires_grad]
    optimisers = make_optimisers(free, options.rate, weight_decay=0.02)
    rng = np.random.default_rng(options.seed)
    began, step, recent = time.monotonic(), 0, []
    while (done := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        rate = options.rate * min((step + 1) / 20, 0.5 * (1 + math.cos(math.pi * done)))
        frames = frames_at(done, options.shortest, options.longest)
        lesson = draw_lesson(pool, rng, frames, options.objects)
        loss, overlap = lesson_loss(network, lesson, options.logit_scale, by_mask=step % 2 == 0)
        network.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(free, 1.0)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        step += 1
        recent.append((float(loss.detach()), overlap))
        if len(recent) == 25:
            save_weights(network.state_dict(), options.out)
            figures = dict(zip(("loss", "j"), np.mean(recent, axis=0).round(3), strict=True))
            _LOGGER.info("step %d, frames %d, %s", step, len(lesson.frames), json.dumps(figures))
            recent = []


if __name__ == "__main__":
    main()
