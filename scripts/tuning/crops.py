"""What costs time, and what crops give for theirs."""

from __future__ import annotations

from pathlib import Path

from infer_segment_anything_2.sam2_results.painting import colours_of
from scripts.tuning.bench import (
    FOUND_IOU,
    LEAST_OBJECT_PX,
    PICTURES,
    Bench,
    Values,
    compare,
    first_scenes,
    is_crowded,
    number_of,
    painted_masks,
    sheet,
)
from scripts.tuning.drawing import below, beside, panel, save_small
from training.scenes import SCENE_SIZE_PX


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
            caption = f"{number_of(int(label), 'layer')}: {found.masks} masks, {found.recall} found"
            width = round(bench.scale.panel_px * 1.5)
            painted = painted_masks(result, colours_of(result.ranked[0]))
            panels.append(panel(painted, caption, width))
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
