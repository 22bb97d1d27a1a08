"""Scenes of real textures with exact masks: cut-outs and pieces of photographs over photographs.

Like :mod:`training.scenes` a scene depends on its seed (and the bank) alone. Objects are cut-outs
(photographs and drawings) or outlines filled with a piece of a photograph; they overlap, touch,
repeat, hold parts, stand in perspective, are lit, shaded and mirrored, and throw shadows. Text and
see-through objects lie about as clutter. What is no object of the scene has no mask.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.opencv import cv2
from training.picture_bank import Bank
from training.scenes import Scene
from training.shapes import random_shape

FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LEAST_AREA_PX = 120
_SUBPIXEL_BITS = 4
_PATCH_PX = 256
_MOST_IN_CROWD = 36


@dataclass
class _Canvas:
    """A picture that grows: float RGB 0 to 255, the numbers of objects and of parts."""

    rng: np.random.Generator
    image_hwc: FloatImage
    object_ids_hw: ByteImage
    part_ids_hw: ByteImage
    objects: int = 0
    parts: int = 0

    @property
    def size_px(self) -> int:
        """Width and height."""
        return len(self.image_hwc)

    def paste(self, layer_hwc: FloatImage) -> BoolMask | None:
        """Puts an RGBA layer (premultiplied) on top as a new object; None when it is too small."""
        alpha_hw1 = cover_of(layer_hwc)
        mask_hw: BoolMask = alpha_hw1[..., 0] > 0.5
        if mask_hw.sum() < _LEAST_AREA_PX:
            return None
        self.image_hwc = self.image_hwc * (1 - alpha_hw1) + layer_hwc[..., :3]
        self.objects += 1
        self.object_ids_hw[mask_hw] = self.objects
        self.part_ids_hw[mask_hw] = 0
        return mask_hw

    def paste_part(self, layer_hwc: FloatImage, whole_hw: BoolMask) -> None:
        """Puts a layer on an object, cut to it, as a part of it."""
        layer_hwc = layer_hwc * whole_hw[..., None]
        alpha_hw1 = cover_of(layer_hwc)
        mask_hw = alpha_hw1[..., 0] > 0.5
        area = int(mask_hw.sum())
        if area < _LEAST_AREA_PX or area > 0.8 * whole_hw.sum():
            return
        self.image_hwc = self.image_hwc * (1 - alpha_hw1) + layer_hwc[..., :3]
        self.parts += 1
        self.part_ids_hw[mask_hw] = self.parts


def cover_of(layer_hwc: FloatImage) -> FloatImage:
    """How much an RGBA layer covers, H x W x 1, 0 to 1."""
    return np.asarray(layer_hwc[..., 3:] / 255, np.float32)


def draw_composite(seed: int, bank: Bank, size_px: int = 512) -> Scene:
    """Draws the composite of a seed.

    Args:
        seed: Any non-negative number; equal seeds give equal scenes from the same bank.
        bank: Cut-outs and backgrounds.
        size_px: Width and height.
    """
    rng = np.random.default_rng([20_261, seed])
    canvas = _Canvas(
        rng,
        draw_background(rng, bank, size_px),
        np.zeros((size_px, size_px), np.uint8),
        np.zeros((size_px, size_px), np.uint8),
    )
    family = str(rng.choice(["free", "crowd", "pile"], p=[0.62, 0.2, 0.18]))
    {"free": _free, "crowd": _crowd, "pile": _pile}[family](canvas, bank)
    image_hwc = photographed(canvas.image_hwc, rng)
    return Scene(image_hwc, canvas.object_ids_hw, canvas.part_ids_hw, f"composite {family}")


def _free(canvas: _Canvas, bank: Bank) -> None:
    """Objects of all sizes anywhere."""
    for _ in range(int(canvas.rng.integers(2, 13))):
        size = _log_uniform(canvas.rng, 0.05, 0.75) * canvas.size_px
        centre = canvas.rng.uniform(0, canvas.size_px, 2)
        _add(canvas, bank, draw_sprite(canvas.rng, bank), size, centre)


def _crowd(canvas: _Canvas, bank: Bank) -> None:
    """Many of the same, beside and over each other, and some strangers."""
    rng = canvas.rng
    sprites = [draw_sprite(rng, bank) for _ in range(int(rng.integers(1, 3)))]
    size = _log_uniform(rng, 0.08, 0.25) * canvas.size_px
    step = size * rng.uniform(0.7, 1.3)
    origin = rng.uniform(0, step, 2)
    for y in np.arange(origin[1], canvas.size_px, step):
        for x in np.arange(origin[0], canvas.size_px, step):
            if rng.random() < 0.75 and canvas.objects < _MOST_IN_CROWD:
                centre = np.array([x, y]) + rng.normal(0, 0.12 * size, 2)
                sprite = sprites[int(rng.integers(len(sprites)))]
                _add(canvas, bank, sprite, size * rng.uniform(0.8, 1.2), centre, parts=0.1)


def _pile(canvas: _Canvas, bank: Bank) -> None:
    """Objects that touch: each one at the edge of one that is there."""
    rng = canvas.rng
    centre = rng.uniform(0.25, 0.75, 2) * canvas.size_px
    for _ in range(int(rng.integers(3, 11))):
        size = _log_uniform(rng, 0.12, 0.5) * canvas.size_px
        _add(canvas, bank, draw_sprite(rng, bank), size, centre)
        angle = rng.uniform(0, 2 * np.pi)
        centre = centre + 0.5 * size * np.array([np.cos(angle), np.sin(angle)])
        centre = np.clip(centre, 0, canvas.size_px)


def _add(
    canvas: _Canvas,
    bank: Bank,
    sprite: FloatImage,
    size_px: float,
    centre_xy: NDArray[np.float64],
    parts: float = 0.45,
) -> None:
    """Places a sprite with its shadow, and at times parts, a text or a mirror image."""
    rng = canvas.rng
    layer = _placed(rng, sprite, size_px, centre_xy, canvas.size_px)
    alpha = cover_of(layer)[..., 0]
    if rng.random() < 0.4:
        canvas.image_hwc = canvas.image_hwc * (1 - _shadow(rng, alpha, size_px))
    if rng.random() < 0.06:
        layer = layer * np.float32(rng.uniform(0.55, 0.85))  # see-through
    elif rng.random() < 0.08:
        layer = _mirrored(layer, canvas.image_hwc, rng.uniform(0.3, 0.8))
    whole = canvas.paste(layer)
    if whole is None or whole.sum() < 1500 or rng.random() > parts:
        return
    ys, xs = np.nonzero(whole)
    reach = float(np.sqrt(whole.sum()))
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(len(xs)))
        spot = np.array([xs[k], ys[k]], np.float64)
        part_size = reach * rng.uniform(0.2, 0.65)
        part = _placed(rng, draw_sprite(rng, bank), part_size, spot, canvas.size_px)
        canvas.paste_part(part, whole)
    if rng.random() < 0.1:
        _write(canvas, whole, reach)


def draw_sprite(rng: np.random.Generator, bank: Bank) -> FloatImage:
    """An RGBA picture of an object, H x W x 4."""
    kind = rng.random()
    if kind < 0.4:
        cutout = bank.photos[int(rng.integers(len(bank.photos)))].astype(np.float32)
    elif kind < 0.58:
        cutout = bank.drawings[int(rng.integers(len(bank.drawings)))].astype(np.float32)
    else:
        return _filled_outline(rng, bank)
    if rng.random() < 0.5:
        cutout = np.dstack([_recoloured(rng, cutout[..., :3]), cutout[..., 3]])
    return cutout


def _filled_outline(rng: np.random.Generator, bank: Bank) -> FloatImage:
    """A random outline, filled with a piece of a photograph, at times shaded like a body."""
    piece = _recoloured(rng, _piece(rng, bank, 60, 600, _PATCH_PX))
    if rng.random() < 0.3:
        piece = piece * 0.12 + piece.mean((0, 1)) * 0.88
    mask = np.zeros((_PATCH_PX, _PATCH_PX), np.uint8)
    contours = random_shape(rng, (_PATCH_PX / 2, _PATCH_PX / 2), _PATCH_PX * 0.47)
    fixed = [np.round(c * (1 << _SUBPIXEL_BITS)).astype(np.int32) for c in contours]
    cv2.fillPoly(mask, fixed, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    if rng.random() < 0.5:
        depth = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5)
        piece = piece * (0.55 + 0.55 * np.clip(depth / rng.uniform(5, 70), 0, 1))[..., None]
    if rng.random() < 0.35:
        ramp = np.linspace(rng.uniform(0.5, 1), rng.uniform(1, 1.5), _PATCH_PX, dtype=np.float32)
        piece = piece * (ramp[None, :, None] if rng.random() < 0.5 else ramp[:, None, None])
    filled = np.dstack([np.clip(piece, 0, 255), mask])
    return np.asarray(filled, np.float32)


def _placed(
    rng: np.random.Generator,
    sprite: FloatImage,
    size_px: float,
    centre_xy: NDArray[np.float64],
    canvas_px: int,
) -> FloatImage:
    """A sprite turned, stretched and put into perspective on an empty canvas, premultiplied."""
    height, width = sprite.shape[:2]
    scale = size_px / max(height, width)
    stretch = np.exp(rng.normal(0, 0.15))
    angle = rng.normal(0, 0.4) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    half = np.array([width * scale * stretch * flip, height * scale / stretch]) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    if rng.random() < 0.4:
        corners = corners * (1 + rng.uniform(-0.25, 0.25, (4, 1)))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    target = (corners @ turn + centre_xy).astype(np.float32)
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    if scale < 0.6:
        sprite = cv2.GaussianBlur(sprite, (0, 0), 0.45 / scale)
    premultiplied = np.dstack([sprite[..., :3] * (sprite[..., 3:] / 255), sprite[..., 3]])
    return np.asarray(
        cv2.warpPerspective(
            premultiplied,
            cv2.getPerspectiveTransform(source, target),
            (canvas_px, canvas_px),
            flags=cv2.INTER_LINEAR,
        ),
        np.float32,
    )


def _shadow(rng: np.random.Generator, alpha_hw: FloatImage, size_px: float) -> FloatImage:
    """Darkness of a soft shadow, H x W x 1: thrown aside, or lying flat on the ground."""
    reach = 0.08 * size_px
    shift = rng.normal(0, reach, 2) + np.array([0, 0.5 * reach])
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    if rng.random() < 0.3:
        foot = float(np.nonzero(alpha_hw.any(axis=1))[0].max(initial=0))
        matrix[0, 1], matrix[1, 1] = rng.normal(0, 0.5), 0.25
        matrix[0, 2] -= matrix[0, 1] * foot
        matrix[1, 2] = 0.75 * foot
    size = alpha_hw.shape[::-1]
    thrown = cv2.GaussianBlur(
        cv2.warpAffine(alpha_hw, matrix, size), (0, 0), 1 + rng.uniform(0.1, 0.6) * reach
    )
    return np.asarray(thrown[..., None] * rng.uniform(0.1, 0.65), np.float32)


def _mirrored(layer: FloatImage, around_hwc: FloatImage, share: float) -> FloatImage:
    """A surface that shows what lies around it, upside down and blurred."""
    mirror = cv2.GaussianBlur(around_hwc[::-1], (0, 0), 3) * (layer[..., 3:] / 255)
    colours = layer[..., :3] * (1 - share) + mirror * share
    return np.asarray(np.dstack([colours, layer[..., 3]]), np.float32)


def _write(canvas: _Canvas, whole_hw: BoolMask, reach_px: float) -> None:
    """Writes some letters onto an object: they are neither objects nor parts."""
    rng = canvas.rng
    ys, xs = np.nonzero(whole_hw)
    text = "".join(chr(int(rng.integers(65, 91))) for _ in range(int(rng.integers(2, 7))))
    ink = np.zeros(whole_hw.shape, np.uint8)
    spot = (int(np.quantile(xs, 0.2)), int(np.median(ys)))
    thickness = int(rng.integers(1, 4))
    cv2.putText(ink, text, spot, int(rng.integers(0, 4)), reach_px / 120, 255, thickness, 16)
    cover = (ink / 255 * whole_hw)[..., None]
    written = canvas.image_hwc * (1 - cover) + cover * rng.uniform(0, 255, 3)
    canvas.image_hwc = np.asarray(written, np.float32)


def draw_background(rng: np.random.Generator, bank: Bank, size_px: int) -> FloatImage:
    """A piece of a photograph as what lies behind everything, H x W x 3, 0 to 255."""
    image = _recoloured(rng, _piece(rng, bank, 150, 720, size_px))
    if rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 14))
    if rng.random() < 0.12:
        image = image * 0.1 + image.mean((0, 1)) * 0.9
    return np.asarray(image, np.float32)


def _piece(
    rng: np.random.Generator, bank: Bank, smallest_px: float, largest_px: float, size_px: int
) -> FloatImage:
    """A square piece of some photograph, scaled to a size."""
    picture = bank.backgrounds[int(rng.integers(len(bank.backgrounds)))]
    side = int(rng.uniform(smallest_px, min(largest_px, min(picture.shape[:2]))))
    y = int(rng.integers(picture.shape[0] - side + 1))
    x = int(rng.integers(picture.shape[1] - side + 1))
    way = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    piece = cv2.resize(picture[y : y + side, x : x + side], (size_px, size_px), interpolation=way)
    return np.asarray(piece[:, ::-1] if rng.random() < 0.5 else piece, np.float32)


def _recoloured(rng: np.random.Generator, rgb_hwc: FloatImage) -> FloatImage:
    """Other colours, contrast and brightness."""
    image = rgb_hwc
    if rng.random() < 0.5:
        image = image * rng.uniform(0.5, 1.4, 3).astype(np.float32)
    image = (image - 128) * rng.uniform(0.55, 1.25) + 128 + rng.normal(0, 22)
    return np.asarray(np.clip(image, 0, 255), np.float32)


def photographed(image_hwc: FloatImage, rng: np.random.Generator) -> ByteImage:
    """Light, lens, sensor and file: what a camera adds."""
    if rng.random() < 0.25:
        image_hwc = np.repeat((image_hwc @ _LUMA)[..., None], 3, axis=2)
    if rng.random() < 0.3:
        ramp = np.linspace(rng.uniform(0.55, 1), 1, len(image_hwc), dtype=np.float32)
        ramp = ramp[:: 1 if rng.random() < 0.5 else -1]
        image_hwc = image_hwc * (ramp[None, :, None] if rng.random() < 0.5 else ramp[:, None, None])
    image_hwc = image_hwc * rng.uniform(0.65, 1.15)
    if rng.random() < 0.35:
        image_hwc = cv2.GaussianBlur(image_hwc, (0, 0), rng.uniform(0.4, 2.0))
    if rng.random() < 0.5:
        noise = rng.standard_normal(image_hwc.shape, np.float32)
        image_hwc = image_hwc + noise * np.float32(rng.uniform(1, 9))
    pixels = np.clip(image_hwc, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(40, 95))
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, [1, quality])[1], 1)
    return np.ascontiguousarray(pixels)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
