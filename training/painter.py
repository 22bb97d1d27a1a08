"""The painter of scenes: surfaces, textures, light and shadow on one canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.opencv import cv2
from training.shapes import Contours
from training.textures import random_texture

__all__ = ["LUMA", "ByteImage", "FloatImage", "Look", "Painter"]

FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]
MIN_PART_AREA_PX = 60
MAX_OBJECTS = 250
_SUBPIXEL_BITS = 4
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Look:
    """How a surface is painted; colours and amplitudes in grey levels of 0 to 255.

    Attributes:
        colour: Mean colour, three floats.
        colour2: Second colour that the texture mixes in.
        texture: How strongly the texture mixes the second colour in, 0 to 1.
        gradient: Brightness change from one end to the other, as a fraction.
        dome: Strength of the shading that makes it look raised; 0 is flat.
        rim: Part of the inner radius over which the surface rises, 0 to 1.
        relief: Strength of the embossed texture.
        outline: Brightness factor of a thin line along the edge; 1 draws none.
        softness_px: Blur of the object's edge.
        shadow: Darkness of the soft shadow, 0 to 1.
    """

    colour: FloatImage
    colour2: FloatImage
    texture: float = 0.0
    gradient: float = 0.0
    dome: float = 0.0
    rim: float = 0.5
    relief: float = 0.0
    outline: float = 1.0
    softness_px: float = 0.0
    shadow: float = 0.0


class Painter:
    """A canvas with its id maps; the only state while a scene is drawn."""

    def __init__(self, rng: np.random.Generator, size_px: int, *, grey: bool) -> None:
        self.rng = rng
        self.size_px = size_px
        self.grey = grey
        self.canvas_hwc: FloatImage = np.zeros((size_px, size_px, 3), np.float32)
        self.object_ids_hw: ByteImage = np.zeros((size_px, size_px), np.uint8)
        self.part_ids_hw: ByteImage = np.zeros((size_px, size_px), np.uint8)
        self.n_objects = 0
        self.n_parts = 0
        self.background_colour: FloatImage = np.full(3, 128, np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        self.light_xy = (float(np.cos(angle)), float(np.sin(angle)))

    def colour(self, *, least_distance: float = 0.0) -> FloatImage:
        """Draws a colour that is at least so many grey levels away from the background's."""
        colour: FloatImage = np.zeros(3, np.float32)
        for _ in range(8):
            luma = self.rng.uniform(15, 240)
            spread = 0.0 if self.grey else self.rng.choice([12.0, 45.0, 90.0])
            colour = np.clip(luma + self.rng.normal(0, 1, 3) * spread, 0, 255).astype(np.float32)
            apart = np.abs(colour - self.background_colour)
            if max(float(apart @ LUMA), 0.0 if self.grey else 0.6 * apart.max()) >= least_distance:
                break
        return colour

    def near(self, colour: FloatImage, distance: float) -> FloatImage:
        """Returns a colour about so many grey levels away from the given one."""
        shift = self.rng.normal(0, distance)
        tint = 0.0 if self.grey else self.rng.normal(0, distance * 0.5, 3)
        return np.asarray(np.clip(colour + shift + tint, 0, 255), np.float32)

    def background(self, look: Look) -> None:
        """Fills the whole canvas."""
        self.background_colour = look.colour
        full = np.full((self.size_px, self.size_px), 255, np.uint8)
        self.canvas_hwc[:] = self._surface(full, look)

    def add_object(self, contours: Contours, look: Look) -> ByteImage | None:
        """Paints an object in front of all others and gives it the next id.

        Args:
            contours: Closed contours in pixels; pixels inside an odd number of them belong to it.
            look: Its surface.

        Returns:
            HxW bool-like mask (0 or 1) of its pixels; None when it lies outside the picture.
        """
        if self.n_objects >= MAX_OBJECTS:
            return None
        patch = self._paint(contours, look, None)
        if patch is None:
            return None
        self.n_objects += 1
        self.object_ids_hw[patch > 0] = self.n_objects
        self.part_ids_hw[patch > 0] = 0
        return patch

    def add_part(self, contours: Contours, look: Look, whole_hw: ByteImage) -> None:
        """Paints a part onto the object `whole_hw`, unless it is too small or too large."""
        inside = self._rasterise(contours)[0]
        area = int(np.count_nonzero((inside > 127) & (whole_hw > 0)))
        if (
            area < MIN_PART_AREA_PX
            or area > 0.7 * int(whole_hw.sum())
            or self.n_parts >= MAX_OBJECTS
        ):
            return
        patch = self._paint(contours, look, whole_hw)
        if patch is not None:
            self.n_parts += 1
            self.part_ids_hw[patch > 0] = self.n_parts

    def _rasterise(self, contours: Contours) -> tuple[ByteImage, tuple[int, int, int, int]]:
        alpha = np.zeros((self.size_px, self.size_px), np.uint8)
        fixed = [np.round(c * 2**_SUBPIXEL_BITS).astype(np.int32) for c in contours]
        cv2.fillPoly(alpha, fixed, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        return alpha, cv2.boundingRect(alpha)

    def _paint(
        self, contours: Contours, look: Look, whole_hw: ByteImage | None
    ) -> ByteImage | None:
        alpha, _ = self._rasterise(contours)
        if whole_hw is not None:
            alpha = alpha * whole_hw
        mask = (alpha > 127).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(mask)
        if w < 3 or h < 3:
            return None
        if look.shadow > 0 and whole_hw is None:
            self._cast_shadow(alpha, look.shadow)
        pad = 1 + int(2 * look.softness_px)
        ys = slice(max(y - pad, 0), min(y + h + pad, self.size_px))
        xs = slice(max(x - pad, 0), min(x + w + pad, self.size_px))
        surface = self._surface(alpha[ys, xs], look)
        cover = alpha[ys, xs].astype(np.float32) / 255
        if look.softness_px > 0:
            cover = cv2.GaussianBlur(cover, (0, 0), look.softness_px)
        target = self.canvas_hwc[ys, xs]
        target += cover[..., None] * (surface - target)
        return mask

    def _cast_shadow(self, alpha: ByteImage, darkness: float) -> None:
        reach = self.rng.uniform(1, 7)
        shift = np.array(
            [[1, 0, -self.light_xy[0] * reach], [0, 1, -self.light_xy[1] * reach]], np.float32
        )
        size = (self.size_px, self.size_px)
        shadow = cv2.warpAffine(alpha, shift, size).astype(np.float32)
        shadow = cv2.GaussianBlur(shadow, (0, 0), self.rng.uniform(0.8, 1 + reach))
        self.canvas_hwc *= (1 - shadow * (darkness / 255))[..., None]

    def _surface(self, alpha: ByteImage, look: Look) -> FloatImage:
        """Returns the HxWx3 surface of a patch, valid wherever `alpha` is above zero."""
        h, w = alpha.shape
        texture = random_texture(self.rng, h, w)
        mix = np.clip(0.5 + 0.5 * texture, 0, 1)[..., None] * look.texture
        surface: FloatImage = look.colour + mix * (look.colour2 - look.colour)
        brightness = np.ones((h, w), np.float32)
        if look.gradient:
            angle = self.rng.uniform(0, 2 * np.pi)
            ramp = np.linspace(-0.5, 0.5, w, dtype=np.float32) * np.float32(np.cos(angle))
            ramp = (
                ramp
                + (np.linspace(-0.5, 0.5, h, dtype=np.float32) * np.float32(np.sin(angle)))[:, None]
            )
            brightness += look.gradient * ramp
        if look.dome or look.relief or look.outline != 1:
            brightness += self._relief(alpha, look)
        surface = surface * np.clip(brightness, 0.05, 3)[..., None]
        return np.clip(surface, 0, 255).astype(np.float32)

    def _relief(self, alpha: ByteImage, look: Look) -> FloatImage:
        framed = cv2.copyMakeBorder((alpha > 127).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
        inner = float(depth.max()) + 1e-3
        rise = np.clip(depth / (look.rim * inner + 1), 0, 1)
        height: FloatImage = np.sqrt(1 - (1 - rise) ** 2) * (look.dome * (look.rim * inner + 1))
        if look.relief:
            bumps = random_texture(self.rng, *alpha.shape)
            height = height + look.relief * 3 * bumps * rise
        height = cv2.GaussianBlur(height, (0, 0), 0.8)
        slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
        slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
        lit = -(slope_x * self.light_xy[0] + slope_y * self.light_xy[1])
        shade: FloatImage = lit / np.sqrt(1 + slope_x**2 + slope_y**2)
        if look.outline != 1:
            shade = shade + (look.outline - 1) * np.clip(2.2 - depth, 0, 1)
        return shade.astype(np.float32)
