"""Short clips of moving cut-outs with exact masks, for what only tracking uses: the memory.

A clip depends on its seed (and the bank) alone. Objects move on smooth paths, turn, grow and
shrink, pass in front of each other and behind a bar that nobody labelled, leave and come back; some
are twins. The camera drifts, the light changes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.composites import FloatImage, cover_of, draw_background, draw_sprite, photographed
from training.opencv import cv2
from training.picture_bank import Bank

_DRIFT_PX = 0.12
_TWINS = 0.3
_BARS = 0.35
_SMALLEST, _LARGEST = 0.12, 0.5


@dataclass(frozen=True)
class Clip:
    """Frames and what is in them.

    Attributes:
        images_thwc: RGB, uint8.
        object_ids_thw: uint8; 0 is what is no object, k the visible pixels of the k-th one.
        objects: How many there are; some may be hidden in some frames.
    """

    images_thwc: NDArray[np.uint8]
    object_ids_thw: NDArray[np.uint8]
    objects: int


@dataclass(frozen=True)
class _Mover:
    """A cut-out and its path; lengths in sides of the picture, times from 0 to 1."""

    sprite_hwc: FloatImage
    size: float
    start_xy: NDArray[np.float64]
    end_xy: NDArray[np.float64]
    swing_xy: NDArray[np.float64]
    angle: float
    turn: float
    growth: float

    def placed(self, time: float, size_px: int) -> FloatImage:
        """The cut-out at a time, premultiplied, on an empty canvas."""
        height, width = self.sprite_hwc.shape[:2]
        scale = self.size * size_px * np.exp(self.growth * (time - 0.5)) / max(height, width)
        centre = self.start_xy + time * (self.end_xy - self.start_xy)
        centre = (centre + np.sin(np.pi * time) * self.swing_xy) * size_px
        angle = self.angle + self.turn * time
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = centre - turn @ (np.array([width, height]) / 2)
        matrix = np.hstack([turn, shift[:, None]]).astype(np.float32)
        return np.asarray(cv2.warpAffine(self.sprite_hwc, matrix, (size_px, size_px)), np.float32)


def draw_clip(seed: int, bank: Bank, frames: int, size_px: int) -> Clip:
    """Draws the clip of a seed.

    Args:
        seed: Any non-negative number; equal seeds give equal clips from the same bank.
        bank: Cut-outs and backgrounds.
        frames: How many; fewer make faster clips of the same paths.
        size_px: Width and height.
    """
    rng = np.random.default_rng([20_262, seed])
    drift_px = int(_DRIFT_PX * size_px)
    scenery = draw_background(rng, bank, size_px + drift_px)
    drift = rng.uniform(0, drift_px, (2, 2)) if rng.random() < 0.6 else np.zeros((2, 2))
    movers = _movers(rng, bank)
    bar = _mover(rng, _bar(rng), 0.9) if rng.random() < _BARS else None
    light = rng.uniform(0.85, 1.15, 2)
    look = int(rng.integers(1 << 31))
    images, ids = [], []
    for time in np.linspace(0, 1, frames):
        x, y = np.round(drift[0] + time * (drift[1] - drift[0])).astype(int)
        image = scenery[y : y + size_px, x : x + size_px]
        ids_hw = np.zeros((size_px, size_px), np.uint8)
        for number, mover in enumerate([*movers, *([] if bar is None else [bar])], start=1):
            layer = mover.placed(float(time), size_px)
            alpha = cover_of(layer)
            image = np.asarray(image * (1 - alpha) + layer[..., :3], np.float32)
            ids_hw[alpha[..., 0] > 0.5] = number if number <= len(movers) else 0
        image = image * np.float32(light[0] + time * (light[1] - light[0]))
        images.append(photographed(image, np.random.default_rng(look)))
        ids.append(ids_hw)
    return Clip(np.stack(images), np.stack(ids), len(movers))


def _movers(rng: np.random.Generator, bank: Bank) -> list[_Mover]:
    sprites = [draw_sprite(rng, bank) for _ in range(int(rng.integers(2, 5)))]
    if rng.random() < _TWINS:
        sprites.append(sprites[0])
    return [
        _mover(rng, _premultiplied(sprite), float(rng.uniform(_SMALLEST, _LARGEST)))
        for sprite in sprites
    ]


def _mover(rng: np.random.Generator, sprite_hwc: FloatImage, size: float) -> _Mover:
    """A path that begins and mostly ends within the picture."""
    start = rng.uniform(0.15, 0.85, 2)
    way = rng.normal(0, 0.28, 2)
    swing = rng.normal(0, 0.7, 2) if rng.random() < 0.2 else rng.normal(0, 0.1, 2)
    return _Mover(
        sprite_hwc=sprite_hwc,
        size=size,
        start_xy=start,
        end_xy=start + way,
        swing_xy=swing,
        angle=rng.normal(0, 0.4),
        turn=rng.normal(0, 0.6),
        growth=rng.normal(0, 0.35),
    )


def _premultiplied(sprite_hwc: FloatImage) -> FloatImage:
    alpha = sprite_hwc[..., 3:] / 255
    return np.asarray(np.dstack([sprite_hwc[..., :3] * alpha, sprite_hwc[..., 3]]), np.float32)


def _bar(rng: np.random.Generator) -> FloatImage:
    """A long plain thing for objects to hide behind."""
    width = int(rng.integers(20, 60))
    colour = rng.uniform(0, 255, 3)
    return np.asarray(
        np.broadcast_to([*colour, 255], (320, width, 4)) * rng.uniform(0.98, 1), np.float32
    )
