"""Runs of the plugin on named pictures, compared with known objects, and what all parts share."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage import data

from infer_segment_anything_2.parameters import ROWS, Parameters, stringify
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.painting import paint_overlay
from infer_segment_anything_2.segmentation import Segmenter
from training.scenes import SCENE_SIZE_PX, Scene, draw_scene

PICTURES = "images/tuning"
Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Values = dict[str, Any]

BASE: Values = {"model_name": "sam2_demo_nano", "cuda": False, "points_per_side": 16}

DEFAULTS: Values = {row.key: row.default for row in ROWS}
FOUND_IOU = 0.7
LEAST_OBJECT_PX = 100
LEAST_COLOUR = 25
LARGE_PX = 1536
CROWDED = ("grid", "pebbles", "cells", "mosaic")
ONE_LAYER: Values = {"crop_n_layers": 1}


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        points_per_side: Of the strips.
        most_points_per_side: Of anything.
        table_points_per_side: Of the tables of crops and contrast.
        panel_px: Width of a picture in a strip.
        colour: Whether the strips have a row of colour pictures too.
        sheet_side: The sheet of the crop table has so many scenes a side.
        most_layers: Of the crop table.
        scenes: Of the contrast table.
    """

    points_per_side: int = 16
    most_points_per_side: int = 512
    table_points_per_side: int = 12
    panel_px: int = 240
    colour: bool = True
    sheet_side: int = 4
    most_layers: int = 3
    scenes: int = 8


QUICK = Scale(
    points_per_side=3,
    most_points_per_side=4,
    table_points_per_side=3,
    panel_px=80,
    colour=False,
    sheet_side=1,
    most_layers=1,
    scenes=1,
)


class Bench:
    """Runs the plugin on named pictures, and remembers what came out.

    Args:
        scale: How much is done.
        pictures: Instead of those of :func:`picture_named`.
    """

    def __init__(self, scale: Scale, pictures: dict[str, Picture] | None = None) -> None:
        self.scale = scale
        self.segmenter = Segmenter()
        self._pictures = pictures or {}
        self._known: dict[tuple[str, str], Segmentation] = {}
        self.base = BASE | {"points_per_side": scale.points_per_side}

    def picture(self, name: str) -> Picture:
        """The picture of a name, H x W or H x W x 3."""
        return self._pictures[name] if name in self._pictures else picture_named(name)

    def parameters(self, changes: Values) -> Parameters:
        """The base with changes."""
        values = self.base | changes
        if "preset" in changes:  # which sets it, unless it is given
            del values["points_per_side"]
            return Parameters.from_strings(stringify(values))
        side = min(values["points_per_side"], self.scale.most_points_per_side)
        return Parameters.from_strings(stringify(values | {"points_per_side": side}))

    def run(self, name: str, changes: Values) -> Segmentation:
        """Segments everything in a picture."""
        key = (name, repr(sorted(changes.items())))
        if key not in self._known:
            self._known[key] = self.segmenter.segment(self.picture(name), self.parameters(changes))
        return self._known[key]

    def timed(self, image: Picture, changes: Values) -> tuple[Segmentation, float]:
        """Segments everything with nothing remembered; also the processor time, in seconds.

        Processor time counts all cores together, and does not count what else the machine does.
        """
        segmenter, parameters = Segmenter(), self.parameters(changes)
        segmenter.load(parameters)
        started = time.process_time()
        result = segmenter.segment(image, parameters)
        return result, time.process_time() - started


@lru_cache(maxsize=32)
def picture_named(name: str) -> Picture:
    """A picture of scikit-image's, a drawn scene, or a sheet of some."""
    if name == "drawn tiles":
        return draw_scene(1).image_hwc
    if name == "drawn sheet":
        return sheet([draw_scene(seed) for seed in (1, 5, 10, 11)])[0]
    if name == "drawn photo":
        return draw_scene(35, LARGE_PX).image_hwc
    picture: Picture = getattr(data, name)()
    return picture


def sheet(scenes: Sequence[Scene]) -> tuple[Picture, Labels]:
    """Drawn scenes laid edge to edge in a square.

    Returns:
        The picture, and an H x W map: 0 background, k the k-th object.
    """
    side = math.isqrt(len(scenes))
    image = np.zeros((side * SCENE_SIZE_PX, side * SCENE_SIZE_PX, 3), np.uint8)
    labels = np.zeros(image.shape[:2], np.int64)
    for cell, scene in enumerate(scenes):
        top, left = cell // side * SCENE_SIZE_PX, cell % side * SCENE_SIZE_PX
        place = np.s_[top : top + SCENE_SIZE_PX, left : left + SCENE_SIZE_PX]
        image[place] = scene.image_hwc
        ids = scene.object_ids_hw.astype(np.int64)
        labels[place] = np.where(ids > 0, ids + labels.max(), 0)
    return image, labels


def first_scenes(count: int, suits: Callable[[Scene], bool]) -> list[Scene]:
    """The first drawn scenes that suit, of seeds from 0 on; training used 1,000,000 and up."""
    return list(islice(filter(suits, map(draw_scene, itertools.count())), count))


def is_crowded(scene: Scene) -> bool:
    """Whether it was laid out to hold many objects."""
    return scene.family in CROWDED


def is_colourful(scene: Scene) -> bool:
    """Whether its colours differ well from grey."""
    return bool(np.ptp(scene.image_hwc.astype(np.int64), axis=2).mean() > LEAST_COLOUR)


def as_grey(image_hwc: Picture) -> Picture:
    """The picture without colour, H x W."""
    return np.asarray(Image.fromarray(image_hwc).convert("L"))


@dataclass(frozen=True)
class Found:
    """How masks compare with known objects.

    Attributes:
        objects: Number of known objects.
        found: Those that a mask matches with an IoU of at least 0.7.
        masks: Number of masks.
        right: Masks that match an object.
    """

    objects: int = 0
    found: int = 0
    masks: int = 0
    right: int = 0

    def plus(self, other: Found) -> Found:
        """Adds up."""
        return Found(
            self.objects + other.objects,
            self.found + other.found,
            self.masks + other.masks,
            self.right + other.right,
        )

    @property
    def recall(self) -> str:
        """The share of objects that was found."""
        return f"{100 * self.found / max(self.objects, 1):.0f} %"

    @property
    def precision(self) -> str:
        """The share of masks that match an object."""
        return f"{100 * self.right / self.masks:.0f} %" if self.masks else "-"


def compare(masks: MaskSet, labels_hw: Labels) -> Found:
    """Counts which objects of at least 100 pixels were found."""
    areas_px = np.bincount(labels_hw.ravel())
    known = np.flatnonzero(areas_px >= LEAST_OBJECT_PX)
    known = known[known > 0]
    is_found = np.zeros(len(areas_px), bool)
    right = 0
    for rle in masks.rles:
        common = np.bincount(labels_hw[rle.decode()], minlength=len(areas_px))
        iou = common / (areas_px + rle.area_px - common)
        matched = known[iou[known] >= FOUND_IOU]
        is_found[matched] = True
        right += bool(len(matched))
    return Found(len(known), int(is_found.sum()), len(masks), right)


def painted_masks(
    result: Segmentation, colours_rgb: npt.NDArray[np.uint8], *, marks_shared: bool = False
) -> Picture:
    """The picture of a result under its masks.

    Args:
        result: What came out.
        colours_rgb: One per mask, N x 3.
        marks_shared: Paint pixels that several masks have white.
    """
    masks = result.ranked[0]
    faded = _faded(result.image_rgb_hwc)
    painted = paint_overlay(faded, masks, opacity=0.65, colours_rgb=colours_rgb)
    if marks_shared:
        owners = np.zeros(masks.image_hw, np.int64)
        for rle in masks.rles:
            owners += rle.decode()
        painted[owners > 1] = 255
    return painted


def _faded(image_hwc: Picture) -> Picture:
    """With less colour, so that masks stand out."""
    grey_hw1 = image_hwc.mean(axis=2, keepdims=True)
    return np.asarray(0.55 * image_hwc + 0.45 * grey_hw1, np.uint8)


def written(value: object) -> str:
    """A value as the document has it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number_of(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


Maker = Callable[[Bench, Path], str]
