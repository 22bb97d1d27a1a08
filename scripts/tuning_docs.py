"""Makes the pictures and measured figures of `docs/tuning.md`: `make tuning-docs`.

Everything is run with the bundled network, on pictures that scikit-image ships and on drawn scenes
whose objects are known. In the document, what stands between `<!-- measured NAME -->` and
`<!-- /measured NAME -->` is written by this script, the rest by people.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage import data, exposure

from infer_segment_anything_2.parameters import PRESETS, ROWS, Parameters, stringify
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.painting import paint_overlay
from infer_segment_anything_2.segmentation import Segmenter
from scripts.tuning.drawing import (
    Plot,
    below,
    beside,
    outlined,
    panel,
    save_small,
    with_title,
)
from training.scenes import SCENE_SIZE_PX, Scene, draw_scene

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENT = REPOSITORY / "docs" / "tuning.md"
PICTURES = "images/tuning"

Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Values = dict[str, Any]

# The bundled network rates itself lower than Meta's do: with the defaults hardly a mask is left.
BASE: Values = {
    "model_name": "sam2_demo_nano",
    "cuda": False,
    "points_per_side": 16,
    "iou_thresh": 0.6,
    "stability_score_thresh": 0.8,
}
DEFAULTS: Values = {row.key: row.default for row in ROWS}

FOUND_IOU = 0.7
LEAST_OBJECT_PX = 100
LEAST_COLOUR = 25
CROWDED = ("grid", "pebbles", "cells", "mosaic")
LOW_CUT, HIGH_CUT, MIDDLE_CUT = (40, 110, 220), (230, 110, 20), (90, 90, 90)


@dataclass(frozen=True)
class Strip:
    """Results for some values of one parameter, side by side.

    Attributes:
        key: The parameter.
        values: From low to high.
        also: Other settings that differ from the base.
        pictures: A colour and a grey one.
        marks_shared: Paint pixels that several masks have white.
        names: What to call the values, where they are too long to show.
    """

    key: str
    values: tuple[Any, ...]
    also: Values = field(default_factory=dict)
    pictures: tuple[str, str] = ("drawn tiles", "coins")
    marks_shared: bool = False
    names: tuple[str, ...] = ()

    def named(self) -> list[tuple[str, Any]]:
        """The values with what to call them."""
        return list(zip(self.names or tuple(map(_written, self.values)), self.values, strict=True))


SHEET = ("drawn sheet", "coins")
ONE_LAYER: Values = {"crop_n_layers": 1}
LOWER_HALF = [[x / 16, y / 16] for y in (9, 11, 13, 15) for x in range(1, 16, 2)]
# In the order in which they act.
STRIPS = (
    Strip("preset", ("fast", "balanced", "thorough")),
    Strip("input_size_percent", (5, 15, 100)),
    Strip("points_per_side", (8, 16, 32)),
    Strip(
        "point_grids",
        ("", "[[0.5, 0.5], [0.25, 0.75]]", str(LOWER_HALF)),
        names=("regular grid", "two points", "lower half only"),
    ),
    Strip(
        "region_of_interest",
        ("", "[0, 0, 128, 128]", "[[20, 20], [240, 20], [20, 240]]"),
        names=("everywhere", "a box", "a triangle"),
    ),
    Strip("crop_n_layers", (0, 1, 2), pictures=SHEET),
    Strip("crop_n_points_downscale_factor", (1, 2, 4), ONE_LAYER, SHEET),
    Strip("crop_overlap_ratio", (0.0, 512 / 1500, 0.6), ONE_LAYER, SHEET),
    Strip("tile_size", (0, 384, 256), pictures=SHEET),
    Strip("tile_overlap", (0.05, 0.25, 0.5), {"tile_size": 200, "points_per_side": 8}, SHEET),
    Strip("automatic_multimask_output", (False, True)),
    Strip("apply_postprocessing", (False, True), {"automatic_multimask_output": False}),
    Strip("use_m2m", (False, True)),
    Strip("mask_threshold", (-2.0, 0.0, 2.0)),
    Strip("iou_thresh", (0.5, 0.6, 0.8)),
    Strip("stability_score_offset", (0.5, 1.0, 2.0)),
    Strip("stability_score_thresh", (0.7, 0.8, 0.95)),
    Strip("box_nms_thresh", (0.3, 0.7, 0.95)),
    Strip("duplicates", ("box", "mask", "containment")),
    Strip("crop_nms_thresh", (0.3, 0.7, 0.95), ONE_LAYER, SHEET),
    Strip("min_mask_region_area", (0, 50, 1000)),
    Strip("keep_components", ("all", "largest", "clicked")),
    Strip("min_mask_area", (0, 500, 1500)),
    Strip("max_mask_area", (1500, 3000, 0)),
    Strip("overlap", ("keep", "smallest_on_top", "highest_score"), marks_shared=True),
)


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
    """A picture of scikit-image's, or a sheet of drawn scenes."""
    if name == "drawn tiles":
        return draw_scene(1).image_hwc
    if name == "drawn sheet":
        return sheet([draw_scene(seed) for seed in (1, 5, 10, 11)])[0]
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


def make_strip(strip: Strip, bench: Bench, folder: Path) -> str:
    """Draws a strip; returns what the document says of it."""
    row = next(row for row in ROWS if row.key == strip.key)
    base = bench.base.get(strip.key, DEFAULTS[strip.key])
    names = strip.pictures if bench.scale.colour else strip.pictures[1:]
    rows, counted = [], []
    for name in names:
        panels, counts = [], []
        for called, value in strip.named():
            result = bench.run(name, strip.also | {strip.key: value})
            n_masks = len(result.ranked[0])
            counts.append(str(n_masks))
            caption = f"{called}: {_number(n_masks, 'mask')}"
            panels.append(
                panel(_painted(result, strip.marks_shared), caption, _width(strip, bench))
            )
        rows.append(beside(panels))
        counted.append(f"{name} {' / '.join(counts)}")
    file = f"{strip.key}.jpg"
    save_small(below([with_title(rows[0], strip.key), *rows[1:]]), folder / file)
    told = []
    for called, value in strip.named():
        notes = ["default"] if value == row.default else []
        notes += ["used in the other strips"] if value == base != row.default else []
        told.append(called + (f" ({', '.join(notes)})" if notes else ""))
    also = "".join(f", with `{key}` {_written(value)}" for key, value in strip.also.items())
    return (
        f"![{strip.key}: {', '.join(called for called, _ in strip.named())}]"
        f"({PICTURES}/{file})\n\n"
        f"*`{strip.key}` {' / '.join(told)}{also}. Masks: {'; '.join(counted)}.*\n"
    )


def _width(strip: Strip, bench: Bench) -> int:
    return round(bench.scale.panel_px * 3 / max(len(strip.values), 3))


def _painted(result: Segmentation, marks_shared: bool) -> Picture:
    masks = result.ranked[0]
    painted = paint_overlay(_faded(result.image_rgb_hwc), masks, opacity=0.65)
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


def _written(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def make_presets(bench: Bench, folder: Path) -> str:
    """Lists what the presets set, and draws their strip."""
    aliases = {row.key for row in ROWS if row.alias_of}
    lines = ["| `preset` | sets |", "|---|---|"]
    for name, values in PRESETS.items():
        told = [f"`{key}` {_written(value)}" for key, value in values.items() if key not in aliases]
        lines.append(f"| `{name}` | {', '.join(told) or 'nothing: the defaults'} |")
    strip = next(strip for strip in STRIPS if strip.key == "preset")
    return "\n".join(lines) + "\n\n" + make_strip(strip, bench, folder)


def make_base(bench: Bench, folder: Path) -> str:
    """Says what the strips have in common."""
    del folder
    told = [f"`{key}` {value}" for key, value in bench.base.items() if key != "cuda"]
    return ", ".join(told) + ".\n"


def make_funnel(bench: Bench, folder: Path) -> str:
    """Prints the log line of some runs."""
    del folder
    strict = {
        key: DEFAULTS[key] for key in ("points_per_side", "iou_thresh", "stability_score_thresh")
    }
    lines = []
    for name in ("drawn tiles", "coins")[not bench.scale.colour :]:
        lines += [
            f"{name}, all defaults:\n  {bench.run(name, strict).summary}",
            f"{name}, settings of the strips:\n  {bench.run(name, {}).summary}",
        ]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def make_batches(bench: Bench, folder: Path) -> str:
    """Checks that the size of batches changes no mask."""
    del folder
    name = "coins"
    sizes = (1, DEFAULTS["points_per_batch"], 1024)
    sets = [bench.run(name, {"points_per_batch": size}).ranked[0].rles for size in sizes]
    same = "the same" if sets[0] == sets[1] == sets[2] else "NOT the same"
    told = ", ".join(map(str, sizes))
    return f"Measured on {name}: `points_per_batch` {told} gave {same} {len(sets[1])} masks.\n"


def make_cost(bench: Bench, folder: Path) -> str:
    """Measures the time of what costs time."""
    del folder
    name = "coins"
    side = bench.scale.points_per_side
    cases: list[tuple[str, Values]] = [
        (f"`points_per_side` {side} (the strips' settings)", {}),
        (f"`points_per_side` {side // 2}", {"points_per_side": side // 2}),
        (f"`points_per_side` {side * 2}", {"points_per_side": side * 2}),
        ("`automatic_multimask_output` False", {"automatic_multimask_output": False}),
        ("`use_m2m` True", {"use_m2m": True}),
        ("`input_size_percent` 15", {"input_size_percent": 15}),
        ("`crop_n_layers` 1", {"crop_n_layers": 1}),
    ]
    lines = ["| settings | processor time | masks |", "|---|---|---|"]
    for label, changes in cases:
        result, seconds = bench.timed(bench.picture(name), changes)
        lines.append(f"| {label} | {seconds:.2f} s | {len(result.ranked[0])} |")
    return "\n".join(lines) + "\n"


def make_crops(bench: Bench, folder: Path) -> str:
    """Measures what crops cost and give on a crowded sheet with known objects."""
    image, labels = sheet(first_scenes(bench.scale.sheet_side**2, is_crowded))
    side = bench.scale.table_points_per_side
    cases: list[tuple[str, Values]] = [
        (f"{layers}", {"crop_n_layers": layers}) for layers in range(bench.scale.most_layers + 1)
    ]
    cases += [
        (
            f"{layers}, `crop_n_points_downscale_factor` 2",
            {"crop_n_layers": layers, "crop_n_points_downscale_factor": 2},
        )
        for layers in range(1, bench.scale.most_layers + 1)
    ]
    cases += [
        (f"0, `points_per_side` {4 * side}", {"points_per_side": 4 * side}),
        (f"0, `tile_size` {SCENE_SIZE_PX}", {"tile_size": SCENE_SIZE_PX}),
    ]
    lines, panels = [], []
    for label, changes in cases:
        result, seconds = bench.timed(image, {"points_per_side": side} | changes)
        masks, counts = result.ranked[0], result.filter_counts
        found = compare(masks, labels)
        n_points = counts.points if counts else 0
        lines.append(
            f"| {label} | {n_points:,} | {seconds:.1f} s | {found.masks} | {found.recall} "
            f"| {found.precision} |"
        )
        if len(changes) == 1 and "crop_n_layers" in changes:
            caption = f"{_number(int(label), 'layer')}: {found.masks} masks, {found.recall} found"
            width = round(bench.scale.panel_px * 1.5)
            panels.append(panel(_painted(result, False), caption, width))
    rows = [beside(panels[start : start + 2]) for start in range(0, len(panels), 2)]
    save_small(below(rows), folder / "crops.jpg")
    head = [
        f"`points_per_side` {side}; {found.objects} objects of at least {LEAST_OBJECT_PX} pixels "
        f"on a sheet of {labels.shape[1]} x {labels.shape[0]} pixels; found: a mask with IoU at "
        f"least {FOUND_IOU}.\n",
        "| `crop_n_layers` | points | processor time | masks | objects found | masks that are an "
        "object |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *lines]) + f"\n\n![Layers 0 to 3]({PICTURES}/crops.jpg)\n"


Change = Callable[[Picture], Picture]


def low_contrast(share: float) -> Change:
    """Squeezes grey levels around the middle one and adds a camera's noise (deviation 2)."""

    def change(image: Picture) -> Picture:
        noise = np.random.default_rng(7).normal(0, 2, image.shape)
        return _to_bytes(128 + share * (image.astype(np.float64) - 128) + noise)

    return change


def stretched(image: Picture) -> Picture:
    """Brings the levels between the 0.5th and 99.5th percentile to 0 to 255."""
    low, high = np.percentile(image, (0.5, 99.5))
    return _to_bytes((image.astype(np.float64) - low) * (255 / max(high - low, 1)))


def locally_equalised(image: Picture) -> Picture:
    """scikit-image's `equalize_adapthist` (CLAHE) with its defaults."""
    return _to_bytes(exposure.equalize_adapthist(image) * 255)


def _to_bytes(levels: npt.NDArray[np.float64]) -> Picture:
    rounded: Picture = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    return rounded


CONDITIONS: tuple[tuple[str, tuple[Change, ...]], ...] = (
    ("colour", ()),
    ("grey", (as_grey,)),
    ("grey, contrast 50 %", (as_grey, low_contrast(0.5))),
    ("grey, contrast 20 %", (as_grey, low_contrast(0.2))),
    ("grey, contrast 10 %", (as_grey, low_contrast(0.1))),
)
LOOSER: Values = {"iou_thresh": 0.5, "stability_score_thresh": 0.7}
Remedy = tuple[str, tuple[Change, ...], Values]
REMEDIES: tuple[Remedy, ...] = (
    ("nothing", (), {}),
    ("contrast stretched", (stretched,), {}),
    ("CLAHE", (locally_equalised,), {}),
    ("`iou_thresh` 0.5, `stability_score_thresh` 0.7", (), LOOSER),
    ("both, contrast stretched", (stretched,), LOOSER),
    ("`crop_n_layers` 1", (), ONE_LAYER),
)


def make_contrast(bench: Bench, folder: Path) -> str:
    """Measures remedies on grey and flat pictures: drawn scenes, and the coins."""
    scenes = [
        (scene.image_hwc, scene.object_ids_hw.astype(np.int64))
        for scene in first_scenes(bench.scale.scenes, is_colourful)
    ]
    known = sum(compare(MaskSet.empty(labels.shape[:2]), labels).objects for _, labels in scenes)
    parts = [
        f"{len(scenes)} drawn scenes in colour with {known} objects of at least "
        f"{LEAST_OBJECT_PX} pixels, and what becomes of them, with `points_per_side` "
        f"{bench.scale.table_points_per_side}; each cell: objects found, masks per picture.\n",
        _contrast_table(bench, scenes, CONDITIONS, REMEDIES[:-1]),
    ]
    coins = [(bench.picture("coins"), coin_labels())] if bench.scale.colour else []
    if coins:
        parts += [
            "The photo of 24 coins (grey):\n",
            _contrast_table(bench, coins, CONDITIONS[1:], REMEDIES),
        ]
        parts.append(f"![The coins, flat and stretched]({PICTURES}/contrast.jpg)\n")
        draw_contrast(bench, coins[0], folder / "contrast.jpg")
    return "\n".join(parts)


def coin_labels() -> Labels:
    """The 24 coins of scikit-image's picture."""
    from training.coins import coin_masks

    masks = coin_masks()
    labels = np.zeros(masks[0].shape, np.int64)
    for number, mask_hw in enumerate(masks, start=1):
        labels[mask_hw] = number
    return labels


def _contrast_table(
    bench: Bench,
    pictures: Sequence[tuple[Picture, Labels]],
    conditions: Sequence[tuple[str, tuple[Change, ...]]],
    remedies: Sequence[Remedy],
) -> str:
    lines = [
        "| what is done | " + " | ".join(name for name, _ in conditions) + " |",
        "|---" * (len(conditions) + 1) + "|",
    ]
    for label, changes, settings in remedies:
        cells = []
        for _, spoils in conditions:
            found = Found()
            for image, labels in pictures:
                found = found.plus(_compared(bench, image, labels, (*spoils, *changes), settings))
            cells.append(f"{found.recall}, {found.masks / len(pictures):.1f}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _compared(
    bench: Bench, image: Picture, labels: Labels, changes: Sequence[Change], settings: Values
) -> Found:
    return compare(_segmented(bench, image, changes, settings).ranked[0], labels)


def _segmented(
    bench: Bench, image: Picture, changes: Sequence[Change], settings: Values
) -> Segmentation:
    for change in changes:
        if not (change is as_grey and image.ndim == 2):
            image = change(image)
    grid = {"points_per_side": bench.scale.table_points_per_side}
    return bench.segmenter.segment(image, bench.parameters(grid | settings))


def draw_contrast(bench: Bench, coins: tuple[Picture, Labels], file: Path) -> None:
    """Shows the coins flat, stretched, and with lower thresholds."""
    image, labels = coins
    flat = low_contrast(0.1)
    cases: list[tuple[str, tuple[Change, ...], Values]] = [
        ("as it is", (), {}),
        ("contrast 10 %", (flat,), {}),
        ("10 %, stretched", (flat, stretched), {}),
        ("10 %, lower thresholds", (flat,), LOOSER),
        ("10 %, CLAHE", (flat, locally_equalised), {}),
        ("10 %, stretched, lower th.", (flat, stretched), LOOSER),
    ]
    panels = []
    for caption, changes, settings in cases:
        result = _segmented(bench, image, changes, settings)
        found = compare(result.ranked[0], labels)
        caption = f"{caption}: {found.found} of {found.objects}"
        panels.append(panel(_painted(result, False), caption, bench.scale.panel_px))
    save_small(below([beside(panels[:3]), beside(panels[3:])]), file)


@dataclass(frozen=True, eq=False)
class CutMask:
    """One mask at three cutoffs.

    Attributes:
        low_hw: Above the mask threshold less the offset.
        middle_hw: Above the mask threshold.
        high_hw: Above the mask threshold and the offset.
        logits_hw: The network's logits.
        stability: As the plugin reckons it.
    """

    low_hw: npt.NDArray[np.bool_]
    middle_hw: npt.NDArray[np.bool_]
    high_hw: npt.NDArray[np.bool_]
    logits_hw: npt.NDArray[np.float32]
    stability: float


def make_stability(bench: Bench, folder: Path) -> str:
    """Draws how the stability score comes about, for a mask that passes and one that does not."""
    name = "coins"
    best, worst = stable_and_unstable(bench, name)
    image = bench.run(name, {}).image_rgb_hwc
    rows, told = [], []
    for cut in (best, worst):
        inner, outer = int(cut.high_hw.sum()), int(cut.low_hw.sum())
        told.append(f"{inner:,} / {outer:,} = {inner / max(outer, 1):.2f}")
        title = f"pixels above +1 / pixels above -1 = {told[-1]}"
        row = beside(stability_row(image, cut, bench.scale.panel_px))
        rows.append(with_title(row, title))
    save_small(below(rows), folder / "stability.jpg")
    return (
        f"![Stability of two masks]({PICTURES}/stability.jpg)\n\n"
        f"*Two masks of the {name}, with the offset 1. Stability above: {told[0]}; below: "
        f"{told[1]}.*\n"
    )


def stable_and_unstable(bench: Bench, name: str) -> tuple[CutMask, CutMask]:
    """The most stable mask of an object's size in a picture, and one of low stability."""
    engine = bench.segmenter.load(bench.parameters({}))
    image = bench.run(name, {}).image_rgb_hwc
    height, width = image.shape[:2]
    prompts = [
        ObjectPrompt(((float(x), float(y)),), (1,))
        for y in np.linspace(0, height, 14)[1:-1]
        for x in np.linspace(0, width, 14)[1:-1]
    ]
    embedded = engine.embed(image)

    def cut(threshold: float) -> tuple[MaskSet, npt.NDArray[np.float32]]:
        settings = PredictionSettings(multimask_output=True, mask_threshold=threshold)
        prediction = engine.predict(embedded, prompts, settings)
        return prediction.ranked[0], prediction.low_res_logits_nhw.cpu().numpy()

    offset = DEFAULTS["stability_score_offset"]
    (low, logits), (middle, _), (high, _) = cut(-offset), cut(0.0), cut(offset)
    areas = np.array([rle.area_px for rle in middle.rles]) / (height * width)
    left, top, right, bottom = low.boxes_xyxy_px.T
    is_inside = (left > 0) & (top > 0) & (right < width - 1) & (bottom < height - 1)
    fits = np.flatnonzero((areas > 0.005) & (areas < 0.08) & is_inside)
    if not len(fits):
        fits = np.arange(len(areas))
    stability = np.nan_to_num(middle.stability_score[fits])
    chosen = fits[stability.argmax()], fits[np.abs(stability - 0.6).argmin()]
    best, worst = (
        CutMask(
            low.rles[i].decode(),
            middle.rles[i].decode(),
            high.rles[i].decode(),
            logits[i],
            float(middle.stability_score[i]),
        )
        for i in chosen
    )
    return best, worst


def stability_row(image_hwc: Picture, cut: CutMask, width_px: int) -> list[Image.Image]:
    """A mask's outlines at the cutoffs, what is in and out, and the logits along a line."""
    height, width = cut.low_hw.shape
    ys, xs = np.nonzero(cut.low_hw)
    length = min(round(1.3 * max(int(np.ptp(ys)), int(np.ptp(xs)), 10)), height, width)
    top, left = (
        int(np.clip((axis.min() + axis.max() - length) // 2, 0, limit - length))
        for axis, limit in ((ys, height), (xs, width))
    )
    enlarged = np.arange(width_px) * length // width_px
    part = np.ix_(top + enlarged, left + enlarged)
    low, middle, high = (mask[part] for mask in (cut.low_hw, cut.middle_hw, cut.high_hw))
    picture = image_hwc[part]
    outlines = outlined(picture, [(low, LOW_CUT), (middle, (255, 255, 255)), (high, HIGH_CUT)])
    outlines[width_px // 2] = (255, 255, 0)
    areas = np.full_like(picture, 255)
    areas[low] = LOW_CUT
    areas[high] = HIGH_CUT
    logits = Image.fromarray(cut.logits_hw).resize((width, height), Image.Resampling.BILINEAR)
    along = np.asarray(logits)[part][width_px // 2]
    plot = Plot((width_px, width_px), (-8.0, 8.0))
    plot.rule(1, HIGH_CUT, "+1")
    plot.rule(0, MIDDLE_CUT, "")
    plot.rule(-1, LOW_CUT, "-1")
    plot.line(along)
    return [
        panel(outlines, "outlines at -1, 0, +1", width_px),
        panel(areas, "above +1, above -1 only", width_px),
        with_title(plot.picture, "logits along the yellow line"),
    ]


Maker = Callable[[Bench, Path], str]


def makers() -> dict[str, Maker]:
    """What makes each part, by its name in the document."""
    made: dict[str, Maker] = {
        "base": make_base,
        "funnel": make_funnel,
        "points_per_batch": make_batches,
        "cost": make_cost,
        "crops": make_crops,
        "contrast": make_contrast,
        "stability": make_stability,
    }
    for strip in STRIPS:
        made[strip.key] = _strip_maker(strip)
    return made | {"preset": make_presets}


def _strip_maker(strip: Strip) -> Maker:
    return lambda bench, folder: make_strip(strip, bench, folder)


def with_part(document: str, name: str, text: str) -> str:
    """The document with one measured part made anew.

    Raises:
        ValueError: The document has no such part.
    """
    between = re.compile(rf"(<!-- measured {name} -->\n).*?(<!-- /measured {name} -->)", re.DOTALL)
    fresh, count = between.subn(lambda found: found[1] + text + found[2], document)
    if count != 1:
        raise ValueError(f"Expected one part 'measured {name}' in the document, found {count}.")
    return fresh


def write(
    bench: Bench, names: Sequence[str], document: Path, folder: Path, say: Callable[[str], None]
) -> None:
    """Makes parts of the document, one after the other.

    Args:
        bench: Runs the plugin.
        names: Of the parts.
        document: Is read and written again after each part.
        folder: Where the document's links look for pictures is `images/tuning` in this one.
        say: Is told what is done.
    """
    pictures = folder / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    for name in names:
        started = time.perf_counter()
        text = makers()[name](bench, pictures)
        document.write_text(
            with_part(document.read_text(encoding="utf-8"), name, text), encoding="utf-8"
        )
        say(f"{name}: {time.perf_counter() - started:.1f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes all parts, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(makers()), help="only these parts")
    parser.add_argument("--quick", action="store_true", help="few points, one grey picture")
    parser.add_argument("--out", type=Path, default=DOCUMENT.parent, help="folder to write into")
    options = parser.parse_args(arguments)
    document = options.out / DOCUMENT.name
    options.out.mkdir(parents=True, exist_ok=True)
    if document != DOCUMENT:
        document.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    bench = Bench(QUICK if options.quick else Scale())
    if options.quick:
        bench = Bench(QUICK, {"coins": data.coins()[:256, :256]})
    write(bench, options.only or list(makers()), document, options.out, print)


if __name__ == "__main__":
    main()
