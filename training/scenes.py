"""Procedurally drawn scenes with exact masks: the only pictures that the bundled model learns from.

A scene is drawn back to front from a seed alone, so that the same seed gives the same scene on
every run. Families differ in layout: free overlapping `shapes` (with parts), crowded `grid`s of
similar objects, touching `pebbles`, soft `cells`, and `mosaic`s that fill the plane. All share one
painter (fills, relief, shadows) and one camera (uneven light, blur, noise, grey, JPEG).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.opencv import cv2
from training.shapes import Contours, band_contour, random_shape, scatter_discs
from training.textures import random_texture, smooth_field

FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]

SCENE_SIZE_PX = 256
MIN_PART_AREA_PX = 60
MAX_OBJECTS = 250
_SUBPIXEL_BITS = 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        image_hwc: RGB picture, HxWx3, uint8.
        object_ids_hw: HxW, uint8; 0 is background, k the visible pixels of the k-th object.
        part_ids_hw: HxW, uint8; 0 where no part is, otherwise a number that is unique in the scene.
            Every part lies within one object.
        family: Name of the layout that drew it.
    """

    image_hwc: ByteImage
    object_ids_hw: ByteImage
    part_ids_hw: ByteImage
    family: str


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
            if max(float(apart @ _LUMA), 0.0 if self.grey else 0.6 * apart.max()) >= least_distance:
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


def draw_scene(seed: int, size_px: int = SCENE_SIZE_PX) -> Scene:
    """Draws the scene of a seed.

    Args:
        seed: Any non-negative number; equal seeds give equal scenes.
        size_px: Width and height.

    Returns:
        The scene with its masks.
    """
    rng = np.random.default_rng([20_260, seed])
    names = list(_FAMILIES)
    shares = np.array([_FAMILIES[name][0] for name in names])
    family = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    _, grey_share, layout = _FAMILIES[family]
    grey = bool(rng.random() < grey_share)
    painter = Painter(rng, size_px, grey=grey)
    layout(painter)
    image_hwc = _photograph(painter.canvas_hwc, rng, grey=grey)
    return Scene(image_hwc, painter.object_ids_hw, painter.part_ids_hw, family)


def _background_look(p: Painter, *, busy: float) -> Look:
    colour = p.colour()
    texture = p.rng.uniform(0.1, 1.0) if p.rng.random() < busy else p.rng.uniform(0, 0.25)
    return Look(
        colour=colour,
        colour2=p.near(colour, p.rng.uniform(10, 45)),
        texture=texture,
        gradient=p.rng.uniform(0, 0.6),
        relief=p.rng.uniform(0.05, 0.5) if p.rng.random() < 0.2 else 0.0,
    )


def _object_look(p: Painter, *, least_distance: float) -> Look:
    rng = p.rng
    colour = p.colour(least_distance=least_distance)
    flat = rng.random() < 0.3
    strong = rng.random() < 0.35
    second = p.colour() if strong else p.near(colour, rng.uniform(8, 40))
    return Look(
        colour=colour,
        colour2=second,
        texture=0.0 if flat else float(rng.choice([0.15, 0.4, 0.9])),
        gradient=rng.uniform(0, 0.8),
        dome=0.0 if rng.random() < 0.45 else rng.uniform(0.2, 1.2),
        rim=rng.uniform(0.1, 1.0),
        relief=rng.uniform(0.1, 0.6) if rng.random() < 0.2 else 0.0,
        outline=float(rng.choice([0.4, 0.7, 1.3])) if rng.random() < 0.2 else 1.0,
        softness_px=rng.uniform(0.4, 1.4) if rng.random() < 0.25 else 0.0,
        shadow=rng.uniform(0.1, 0.6) if rng.random() < 0.5 else 0.0,
    )


def _add_parts(p: Painter, whole_hw: ByteImage) -> None:
    """Paints one kind of part onto an object: patches alike, or a band that cuts across."""
    rng = p.rng
    x, y, w, h = cv2.boundingRect(whole_hw)
    mean_colour = np.array(cv2.mean(p.canvas_hwc, whole_hw)[:3], np.float32)
    outer = p.background_colour
    p.background_colour = mean_colour
    look = _object_look(p, least_distance=25)
    p.background_colour = outer
    reach = np.sqrt(float(whole_hw.sum()))
    if rng.random() < 0.35:
        centre = np.array([x + w * rng.uniform(0.2, 0.8), y + h * rng.uniform(0.2, 0.8)])
        p.add_part(band_contour(rng, centre, reach), look, whole_hw)
        return
    ys, xs = np.nonzero(whole_hw)
    radius = reach * rng.uniform(0.1, 0.3)
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(len(xs)))
        p.add_part(random_shape(rng, (float(xs[k]), float(ys[k])), radius), look, whole_hw)


def _layout_shapes(p: Painter) -> None:
    rng, size = p.rng, p.size_px
    p.background(_background_look(p, busy=0.45))
    if rng.random() < 0.25:
        centre = np.array([rng.uniform(0, size), rng.uniform(0.35, 0.8) * size])
        p.add_object(band_contour(rng, centre, size * 1.0), _background_look(p, busy=0.5))
    n = int(rng.choice([2, 3, 4, 5, 6, 8, 10, 12, 15]))
    largest = rng.uniform(0.2, 0.42) * size / (1 + 0.07 * n)
    twin: Look | None = None
    for _ in range(n):
        centre_xy = (rng.uniform(0.02, 0.98) * size, rng.uniform(0.02, 0.98) * size)
        radius = max(largest * rng.uniform(0.25, 1.0), 8.5)
        # Twins of one look that touch or overlap are what separates objects from colour regions.
        look = (
            twin if twin is not None and rng.random() < 0.25 else _object_look(p, least_distance=22)
        )
        twin = look
        mask = p.add_object(random_shape(rng, centre_xy, radius), look)
        if mask is not None and mask.sum() > 700 and rng.random() < 0.4:
            _add_parts(p, mask)


def _similar_looks(p: Painter) -> Callable[[], Look]:
    """Returns a maker of looks that are variations of one another, as coins or beans are."""
    rng = p.rng
    base = _object_look(p, least_distance=float(rng.choice([8, 20, 45])))
    spread = rng.uniform(0, 18)
    dome = rng.uniform(0.3, 1.4)
    rim = float(rng.choice([0.12, 0.25, 0.6, 1.0]))
    relief = rng.uniform(0.2, 0.9) if rng.random() < 0.6 else 0.0

    def look() -> Look:
        colour = p.near(base.colour, spread)
        return Look(
            colour=colour,
            colour2=p.near(colour, 25),
            texture=base.texture * 0.6,
            gradient=rng.uniform(0, 0.4),
            dome=dome * rng.uniform(0.7, 1.2),
            rim=rim,
            relief=relief,
            outline=base.outline,
            softness_px=base.softness_px,
            shadow=base.shadow,
        )

    return look


def _layout_grid(p: Painter) -> None:
    rng, size = p.rng, p.size_px
    p.background(_background_look(p, busy=0.25))
    pitch_x = rng.uniform(24, 72)
    pitch_y = pitch_x * rng.uniform(0.8, 1.35)
    fill = rng.uniform(0.62, 1.02)
    look = _similar_looks(p)
    kind = (
        None
        if rng.random() < 0.2
        else str(rng.choice(["ellipse", "ellipse", "ellipse", "box", "blob"]))
    )
    skip, jitter, stagger = rng.uniform(0, 0.2), rng.uniform(0, 0.12), float(rng.random() < 0.3) / 2
    start_x, start_y = rng.uniform(-0.2, 0.8, 2)
    least_size = rng.uniform(0.6, 1.0)
    for row in range(int(size / pitch_y) + 2):
        for column in range(int(size / pitch_x) + 2):
            if rng.random() < skip:
                continue
            x = (column + start_x + stagger * (row % 2) + rng.normal(0, jitter)) * pitch_x
            y = (row + start_y + rng.normal(0, jitter)) * pitch_y
            radius = 0.5 * fill * min(pitch_x, pitch_y) * rng.uniform(least_size, 1.0)
            if -radius < x < size + radius and -radius < y < size + radius:
                stretch = max(pitch_y / pitch_x, 1.0) if kind == "ellipse" else None
                p.add_object(random_shape(rng, (x, y), radius, kind, tall=stretch), look())


def _layout_pebbles(p: Painter) -> None:
    rng = p.rng
    p.background(_background_look(p, busy=0.4))
    smallest = rng.uniform(9, 20)
    gap = float(rng.choice([0.85, 0.95, 1.05, 1.3]))
    discs = scatter_discs(rng, p.size_px, smallest, smallest * rng.uniform(1.2, 3.5), gap, 90)
    similar = _similar_looks(p)
    mixed = rng.random() < 0.4
    kind = str(rng.choice(["blob", "ellipse", "polygon", "box"], p=[0.5, 0.3, 0.1, 0.1]))
    for x, y, radius in discs:
        look = _object_look(p, least_distance=15) if mixed else similar()
        mask = p.add_object(random_shape(rng, (x, y), radius, kind), look)
        if mixed and mask is not None and mask.sum() > 700 and rng.random() < 0.15:
            _add_parts(p, mask)


def _layout_cells(p: Painter) -> None:
    rng = p.rng
    p.background(_background_look(p, busy=0.15))
    smallest = rng.uniform(9, 22)
    discs = scatter_discs(
        rng, p.size_px, smallest, smallest * rng.uniform(1.1, 2.2), rng.uniform(0.8, 1.4), 60
    )
    keep = rng.uniform(0.3, 1.0)
    base = p.colour(least_distance=float(rng.choice([14, 30, 60])))
    membrane = float(rng.choice([0.6, 1.0, 1.0, 1.4]))
    softness, nuclei = rng.uniform(0.6, 2.0), rng.random() < 0.4
    nucleus_colour = p.near(base, 60)
    for x, y, radius in discs:
        if rng.random() > keep:
            continue
        colour = p.near(base, 10)
        look = Look(
            colour,
            p.near(colour, 20),
            rng.uniform(0, 0.5),
            rng.uniform(0, 0.3),
            outline=membrane,
            softness_px=softness,
        )
        mask = p.add_object(random_shape(rng, (x, y), radius, "blob"), look)
        if mask is not None and nuclei and radius > 13:
            core = Look(p.near(nucleus_colour, 8), nucleus_colour, softness_px=softness)
            offset = rng.normal(0, 0.12 * radius, 2)
            p.add_part(
                random_shape(rng, (x + offset[0], y + offset[1]), radius * 0.45, "blob"), core, mask
            )


def _layout_mosaic(p: Painter) -> None:
    """Fills the plane with Voronoi cells or bricks, separated by joints of the background."""
    rng, size = p.rng, p.size_px
    p.background(_background_look(p, busy=0.2))
    pitch = rng.uniform(26, 70)
    wide = rng.uniform(1.0, 2.4)
    jitter = float(rng.choice([0.0, 0.0, 0.25, 0.4]))
    joint = rng.uniform(0.8, 4)
    rows, columns = int(size / pitch) + 3, int(size / (pitch * wide)) + 3
    seeds = np.array(
        [
            (
                (c - 1 + 0.5 * (r % 2) + rng.normal(0, jitter)) * pitch * wide,
                (r - 1 + rng.normal(0, jitter)) * pitch,
            )
            for r in range(rows)
            for c in range(columns)
        ]
    )
    division = cv2.Subdiv2D((-4 * size, -4 * size, 9 * size, 9 * size))
    division.insert([(float(x), float(y)) for x, y in seeds])
    facets, _ = division.getVoronoiFacetList([])
    similar = _similar_looks(p)
    mixed = rng.random() < 0.3
    for facet in facets:
        outline = np.clip(np.asarray(facet, np.float64), -2 * size, 3 * size)
        centre = outline.mean(axis=0)
        shrink = np.maximum(
            1 - joint / np.maximum(np.linalg.norm(outline - centre, axis=1), 1), 0.3
        )
        look = _object_look(p, least_distance=12) if mixed else similar()
        p.add_object([centre + (outline - centre) * shrink[:, None]], look)


def _photograph(canvas_hwc: FloatImage, rng: np.random.Generator, *, grey: bool) -> ByteImage:
    """Turns the ideal picture into one that a camera or microscope might have taken."""
    size = canvas_hwc.shape[0]
    image = canvas_hwc
    if rng.random() < 0.5:
        light = 1 + rng.uniform(0.1, 0.5) * smooth_field(rng, size, int(rng.integers(2, 5)))
        image = image * light[..., None]
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < 0.3:
        contrast, level = rng.uniform(0.4, 0.9), rng.uniform(60, 190)
        image = level + contrast * (image - level)
    if rng.random() < 0.7:
        channels = 1 if grey or rng.random() < 0.5 else 3
        noise = rng.standard_normal((size, size, channels), np.float32) * rng.uniform(1, 14)
        if rng.random() < 0.3:
            noise = cv2.GaussianBlur(noise, (0, 0), 0.7).reshape(size, size, channels) * 1.6
        image = image + noise
    image_u8 = np.clip(np.round(image), 0, 255).astype(np.uint8)
    if grey:
        image_u8 = np.repeat(cv2.cvtColor(image_u8, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.4:
        quality = int(rng.integers(35, 95))
        _, coded = cv2.imencode(".jpg", image_u8[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        image_u8 = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
    return image_u8


# Layout of each family with its share of the scenes and the share of grey ones within it.
_FAMILIES: dict[str, tuple[float, float, Callable[[Painter], None]]] = {
    "shapes": (0.55, 0.25, _layout_shapes),
    "grid": (0.15, 0.6, _layout_grid),
    "pebbles": (0.12, 0.4, _layout_pebbles),
    "cells": (0.11, 0.6, _layout_cells),
    "mosaic": (0.07, 0.4, _layout_mosaic),
}
