"""A bank of drawn textures, made once per process; scenes cut their surfaces out of it."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.opencv import cv2

FloatImage = NDArray[np.float32]

BANK_SIZE_PX = 512
_PER_KIND = 7


def random_texture(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Cuts a random piece out of a random texture of the bank.

    Returns:
        height x width, float32, mean about 0 and standard deviation about 1 over the whole texture.
    """
    bank = texture_bank()
    texture = bank[int(rng.integers(len(bank)))]
    scale = float(np.exp(rng.uniform(np.log(0.5), np.log(1.6))))
    h = min(max(int(height * scale), 2), BANK_SIZE_PX)
    w = min(max(int(width * scale), 2), BANK_SIZE_PX)
    y = int(rng.integers(BANK_SIZE_PX - h + 1))
    x = int(rng.integers(BANK_SIZE_PX - w + 1))
    piece = texture[y : y + h, x : x + w]
    if rng.random() < 0.5:
        piece = piece[::-1]
    return np.asarray(
        cv2.resize(np.ascontiguousarray(piece), (width, height), interpolation=cv2.INTER_LINEAR),
        np.float32,
    )


def smooth_field(rng: np.random.Generator, size_px: int, knots: int) -> FloatImage:
    """Returns a size x size field without detail, of values between -1 and 1: uneven light."""
    coarse = rng.uniform(-1, 1, (knots, knots)).astype(np.float32)
    return np.asarray(
        np.clip(cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC), -1, 1),
        np.float32,
    )


@lru_cache(maxsize=1)
def texture_bank() -> tuple[FloatImage, ...]:
    """Draws the whole bank: always the same, about 50 MB."""
    rng = np.random.default_rng(7_031)
    makers = (_fractal, _fractal, _stripes, _checks, _spots, _cracks, _grain)
    return tuple(_standardise(make(rng)) for make in makers for _ in range(_PER_KIND))


def _standardise(field: FloatImage) -> FloatImage:
    centred = (field - field.mean()) / (field.std() + 1e-6)
    return np.asarray(np.clip(centred, -2.5, 2.5), np.float32)


def _grid() -> tuple[FloatImage, FloatImage]:
    axis = np.arange(BANK_SIZE_PX, dtype=np.float32)
    return axis[None, :].repeat(BANK_SIZE_PX, 0), axis[:, None].repeat(BANK_SIZE_PX, 1)


def _fractal(rng: np.random.Generator) -> FloatImage:
    """Noise over octaves, at times stretched as in wood or ridged as in crumpled paper."""
    slope = rng.uniform(0.5, 1.3)
    stretch = float(rng.choice([1, 1, 3, 8]))
    ridged = rng.random() < 0.3
    total = np.zeros((BANK_SIZE_PX, BANK_SIZE_PX), np.float32)
    for octave in range(2, 8):
        shape = (2**octave, max(int(2**octave / stretch), 2))
        noise = rng.standard_normal(shape).astype(np.float32)
        layer = cv2.resize(noise, (BANK_SIZE_PX, BANK_SIZE_PX), interpolation=cv2.INTER_CUBIC)
        total += (
            np.abs(layer) * 2 ** (-slope * octave) if ridged else layer * 2 ** (-slope * octave)
        )
    return total


def _warp(rng: np.random.Generator) -> FloatImage:
    coarse = rng.standard_normal((6, 6)).astype(np.float32)
    return np.asarray(
        cv2.resize(coarse, (BANK_SIZE_PX, BANK_SIZE_PX), interpolation=cv2.INTER_CUBIC), np.float32
    )


def _stripes(rng: np.random.Generator) -> FloatImage:
    x, y = _grid()
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 40)
    phase = (x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 12) * _warp(rng)) / period
    wave = np.sin(2 * np.pi * phase)
    hard = rng.uniform(1, 8)
    return np.asarray(np.tanh(hard * wave), np.float32)


def _checks(rng: np.random.Generator) -> FloatImage:
    x, y = _grid()
    angle, period = rng.uniform(0, np.pi), rng.uniform(10, 40)
    u = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    v = np.sin(
        2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / (period * rng.uniform(0.6, 1.6))
    )
    if rng.random() < 0.5:
        return np.asarray(np.tanh(6 * u * v), np.float32)
    return np.asarray(np.tanh(8 * (np.maximum(u, v) - 0.8)), np.float32)


def _spots(rng: np.random.Generator) -> FloatImage:
    noise = rng.standard_normal((BANK_SIZE_PX, BANK_SIZE_PX)).astype(np.float32)
    smooth = _standardise(cv2.GaussianBlur(noise, (0, 0), rng.uniform(1.5, 7)))
    return np.asarray(np.tanh(5 * (smooth - rng.uniform(0.2, 1.4))), np.float32)


def _cracks(rng: np.random.Generator) -> FloatImage:
    """Distance to scattered points: cobbles, leather, foam."""
    seeds = np.ones((BANK_SIZE_PX, BANK_SIZE_PX), np.uint8)
    n = int(rng.integers(150, 2500))
    seeds[rng.integers(0, BANK_SIZE_PX, n), rng.integers(0, BANK_SIZE_PX, n)] = 0
    return np.asarray(cv2.distanceTransform(seeds, cv2.DIST_L2, 5), np.float32)


def _grain(rng: np.random.Generator) -> FloatImage:
    noise = rng.standard_normal((BANK_SIZE_PX, BANK_SIZE_PX)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 1.6)), np.float32)
