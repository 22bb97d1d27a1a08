"""Procedurally drawn scenes with exact masks, for the bundled model to learn from.

A scene is drawn back to front from a seed alone, so that the same seed gives the same scene on
every run. Families differ in layout: free overlapping `shapes` (with parts), crowded `grid`s of
similar objects, touching `pebbles`, soft `cells`, and `mosaic`s that fill the plane. All share one
painter (fills, relief, shadows) and one camera (uneven light, blur, noise, grey, JPEG).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.opencv import cv2
from training.painter import (
    ByteImage,
    FloatImage,
    Look,
    Painter,
)
from training.shapes import band_contour, random_shape, scatter_discs
from training.textures import smooth_field

SCENE_SIZE_PX = 256


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        image_hwc: RGB picture, HxWx3, uint8.
        object_ids_hw: HxW, uint8; 0 is background, k the visible pixels of the k-th object.
        part_ids_hw: HxW, uint8; 0 where no part is, otherwise a number that is unique in the scene.
            Every part lies within one object.
        family: Name of the layout that drew it.
        has_background: Whether what no object covers is one thing that may be asked for.
    """

    image_hwc: ByteImage
    object_ids_hw: ByteImage
    part_ids_hw: ByteImage
    family: str
    has_background: bool = True


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
