"""A strip of results for each parameter, side by side for some of its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infer_segment_anything_2.parameters import PRESETS, ROWS
from infer_segment_anything_2.sam2_reading.prompt_text import parse_point_grids, parse_regions
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from scripts.tuning.bench import (
    DEFAULTS,
    ONE_LAYER,
    PICTURES,
    Bench,
    Maker,
    Picture,
    Values,
    number_of,
    painted_masks,
    written,
)
from scripts.tuning.drawing import below, beside, panel, save_small, with_title
from scripts.tuning.marking import KeptColours, differing, dotted, fenced, ringed


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
        marks_search: Draw where was searched: regions, and points of one's own.
    """

    key: str
    values: tuple[Any, ...]
    also: Values = field(default_factory=dict)
    pictures: tuple[str, str] = ("drawn tiles", "coins")
    marks_shared: bool = False
    names: tuple[str, ...] = ()
    marks_search: bool = False

    def named(self) -> list[tuple[str, Any]]:
        """The values with what to call them."""
        return list(zip(self.names or tuple(map(written, self.values)), self.values, strict=True))


SHEET = ("drawn sheet", "coins")
LOWER_HALF = [[x / 16, y / 16] for y in (9, 11, 13, 15) for x in range(1, 16, 2)]

TUNED_PICTURE = "astronaut"
TUNED: Values = {
    "iou_thresh": 0.65,
    "stability_score_thresh": 0.9,
    "duplicates": "mask",
    "min_mask_region_area": 200,
}

# In the order in which they act.
STRIPS = (
    Strip("preset", ("fast", "balanced", "thorough")),
    Strip("input_size_percent", (5, 15, 100)),
    Strip("points_per_side", (8, 16, 32)),
    Strip(
        "point_grids",
        ("", "[[0.5, 0.5], [0.25, 0.75]]", str(LOWER_HALF)),
        names=("regular grid", "two points", "lower half only"),
        marks_search=True,
    ),
    Strip(
        "region_of_interest",
        ("", "[0, 0, 128, 128]", "[[20, 20], [240, 20], [20, 240]]"),
        names=("everywhere", "a box", "a triangle"),
        marks_search=True,
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
    Strip("iou_thresh", (0.5, 0.8, 0.95)),
    Strip("stability_score_offset", (0.5, 1.0, 2.0)),
    Strip("stability_score_thresh", (0.8, 0.95, 0.98)),
    Strip("box_nms_thresh", (0.3, 0.7, 0.95)),
    Strip("duplicates", ("box", "mask", "containment")),
    Strip("crop_nms_thresh", (0.3, 0.7, 0.95), ONE_LAYER, SHEET),
    Strip("min_mask_region_area", (0, 50, 1000)),
    Strip("keep_components", ("all", "largest", "clicked")),
    Strip("min_mask_area", (0, 500, 1500)),
    Strip("max_mask_area", (1500, 3000, 0)),
    Strip("overlap", ("keep", "smallest_on_top", "highest_score"), marks_shared=True),
)


def make_strip(strip: Strip, bench: Bench, folder: Path) -> str:
    """Draws a strip; returns what the document says of it."""
    row = next(row for row in ROWS if row.key == strip.key)
    base = bench.base.get(strip.key, DEFAULTS[strip.key])
    names = strip.pictures if bench.scale.colour else strip.pictures[1:]
    rows, counted = [], []
    for name in names:
        results = [bench.run(name, strip.also | {strip.key: value}) for value in strip.values]
        captions = [
            f"{called}: {number_of(len(result.ranked[0]), 'mask')}"
            for (called, _), result in zip(strip.named(), results, strict=True)
        ]
        pictures = painted_alike(results, marks_shared=strip.marks_shared)
        if strip.marks_search:
            pictures = [
                with_search(picture, strip.key, value)
                for picture, value in zip(pictures, strip.values, strict=True)
            ]
        width = _width(strip, bench)
        rows.append(beside([panel(*one, width) for one in zip(pictures, captions, strict=True)]))
        counted.append(f"{name} {' / '.join(str(len(one.ranked[0])) for one in results)}")
    file = f"{strip.key}.jpg"
    save_small(below([with_title(rows[0], strip.key), *rows[1:]]), folder / file)
    told = []
    for called, value in strip.named():
        notes = ["default"] if value == row.default else []
        notes += ["used in the other strips"] if value == base != row.default else []
        told.append(called + (f" ({', '.join(notes)})" if notes else ""))
    also = "".join(f", with `{key}` {written(value)}" for key, value in strip.also.items())
    return (
        f'<a id="{strip.key}"></a>\n\n'
        f"![{strip.key}: {', '.join(called for called, _ in strip.named())}]"
        f"({PICTURES}/{file})\n\n"
        f"*`{strip.key}` {' / '.join(told)}{also}. Masks: {'; '.join(counted)}.*\n"
    )


def painted_alike(results: Sequence[Segmentation], *, marks_shared: bool = False) -> list[Picture]:
    """The panels of a strip: an object keeps its colour, and has a ring where it alone is new."""
    colours = KeptColours()
    pictures = []
    for k, result in enumerate(results):
        masks = result.ranked[0]
        picture = painted_masks(result, colours.of(masks), marks_shared=marks_shared)
        around = [results[other].ranked[0] for other in (k - 1, k + 1) if 0 <= other < len(results)]
        which = {index for neighbour in around for index in differing(masks, neighbour)}
        pictures.append(ringed(picture, masks, sorted(which)))
    return pictures


def with_search(picture_hwc: Picture, key: str, text: str) -> Picture:
    """The picture with the regions or the points that were searched, if any are given."""
    if key == "region_of_interest":
        return fenced(picture_hwc, parse_regions(text))
    height, width = picture_hwc.shape[:2]
    grids = parse_point_grids(text, n_layers=1) if text else None
    return (
        picture_hwc
        if grids is None
        else dotted(picture_hwc, np.asarray(grids[0]) * (width, height))
    )


def make_tuned(bench: Bench, folder: Path) -> str:
    """The picture that readers look for first: the defaults against settings for this picture."""
    results = [bench.run(TUNED_PICTURE, changes) for changes in ({}, TUNED)]
    captions = [
        f"{called}: {number_of(len(result.ranked[0]), 'mask')}"
        for called, result in zip(("defaults", "tuned"), results, strict=True)
    ]
    width = round(1.5 * bench.scale.panel_px)
    panels = [panel(*one, width) for one in zip(painted_alike(results), captions, strict=True)]
    save_small(below([beside(panels)]), folder / "tuned.jpg")
    told = ", ".join(f"`{key}` {written(value)}" for key, value in TUNED.items())
    return (
        f"![A photograph with the defaults, and tuned]({PICTURES}/tuned.jpg)\n\n"
        f"*{TUNED_PICTURE.capitalize()}, a photograph of scikit-image's. Left the defaults, "
        f"right {told}.*\n"
    )


def _width(strip: Strip, bench: Bench) -> int:
    return round(bench.scale.panel_px * 3 / max(len(strip.values), 3))


def make_presets(bench: Bench, folder: Path) -> str:
    """Lists what the presets set, and draws their strip."""
    aliases = {row.key for row in ROWS if row.alias_of}
    lines = ["| `preset` | sets |", "|---|---|"]
    for name, values in PRESETS.items():
        told = [f"`{key}` {written(value)}" for key, value in values.items() if key not in aliases]
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


def strip_maker(strip: Strip) -> Maker:
    """What makes one strip."""
    return lambda bench, folder: make_strip(strip, bench, folder)
