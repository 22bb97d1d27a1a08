"""Other filters on one picture, kept and searched anew: `python -m benchmarks.thresholds --help`.

An engine that keeps what it found and one that keeps nothing run in turns, as a user tunes: the
first run, a lower threshold (which searches once more), then other thresholds, rules and cleanings.
The verdict of each line: the same masks, scores and counts, bit for bit. CPU seconds, of all
threads, are what to compare on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.automatic_masks import describe_machine
from benchmarks.common import Image, load_picture, network_named
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything.candidates import GenerationResult
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.settings import CleaningSettings, GridSettings
from tests.networks import Generators, quantile_in_a_gap

STABLE = 0.5
# The part of the masks that predicted IoU leaves at first, and when it was lowered.
PASSING, LOWERED = 0.2, 0.3
TIDY = CleaningSettings(min_mask_region_area=100, duplicate_thresh=0.7, overlap="smallest_on_top")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="nano", help='"nano" or an official name')
    parser.add_argument("--picture", default="coffee", help="a file, or a name in skimage.data")
    parser.add_argument("--megapixels", type=float, default=0.0, help="scales the picture")
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--output", type=Path, help="a JSON file with the figures")
    arguments = parser.parse_args()
    picture = load_picture(arguments.picture, arguments.megapixels)
    network = network_named(arguments.network)
    grid = GridSettings(points_per_side=arguments.points_per_side)
    every = Generators(network).unfiltered(picture, replace(grid, points_per_side=8))
    asked, lowered = (
        replace(grid, pred_iou_thresh=quantile_in_a_gap(every.predicted_iou, 1 - passing))
        for passing in (PASSING, LOWERED)
    )
    stable = quantile_in_a_gap(every.stability_score, STABLE)
    asked, lowered = (replace(one, stability_score_thresh=stable) for one in (asked, lowered))
    steps: list[tuple[str, GridSettings, CleaningSettings | None]] = [
        ("the first run", asked, None),
        ("predicted IoU lowered", lowered, None),
        ("predicted IoU raised", asked, None),
        ("stability lowered", replace(asked, stability_score_thresh=stable / 2), None),
        ("box NMS changed", replace(asked, box_nms_thresh=0.4), None),
        ("duplicates by mask", replace(asked, duplicates="mask"), None),
        ("the same, NMS changed", replace(asked, duplicates="mask", box_nms_thresh=0.5), None),
        ("cleaned, without overlap", asked, TIDY),
        ("the same, predicted IoU lowered", lowered, TIDY),
        ("cleaned otherwise", lowered, replace(TIDY, min_mask_region_area=50)),
        ("the same, overlap kept", lowered, replace(TIDY, overlap="keep")),
    ]
    with tempfile.TemporaryDirectory() as folder:
        name = "sam2_demo_nano" if arguments.network == "nano" else arguments.network
        path = ""
        if arguments.network != "nano":
            path = str(Path(folder) / "weights.pt")
            torch.save({"model": network.state_dict()}, path)
        model = load_model(name, path, device=torch.device("cpu"))
        rows = print_table(Engine(model), Engine(model, candidate_bytes=0), picture, steps)
    if arguments.output is not None:
        of_run = {key: value for key, value in vars(arguments).items() if key != "output"}
        report = {"machine": describe_machine(), "arguments": of_run, "rows": rows}
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def print_table(
    keeping: Engine,
    keeping_nothing: Engine,
    picture: Image,
    steps: list[tuple[str, GridSettings, CleaningSettings | None]],
) -> list[dict[str, Any]]:
    """Run each step on both engines; returns the figures of each."""
    rows: list[dict[str, Any]] = []
    for engine in (keeping, keeping_nothing):
        engine.embed(picture)
    print("| | masks | new search s (CPU s) | kept s (CPU s) | times faster (CPU) | equal |")
    print("|---|---|---|---|---|---|")
    for told, settings, cleaning in steps:
        again = partial(keeping_nothing.generate, picture, settings, cleaning=cleaning)
        fresh, fresh_s = timed(again)
        kept, kept_s = timed(partial(keeping.generate, picture, settings, cleaning=cleaning))
        ratio = f"{fresh_s[0] / kept_s[0]:.1f} ({fresh_s[1] / kept_s[1]:.1f})"
        print(
            f"| {told} | {len(kept.masks)} | {fresh_s[0]:.2f} ({fresh_s[1]:.2f}) "
            f"| {kept_s[0]:.3f} ({kept_s[1]:.3f}) | {ratio} | {verdict(kept, fresh)} |",
            flush=True,
        )
        rows.append(
            {
                "step": told,
                "masks": len(kept.masks),
                "new_s": fresh_s[0],
                "new_cpu_s": fresh_s[1],
                "kept_s": kept_s[0],
                "kept_cpu_s": kept_s[1],
                "equal": verdict(kept, fresh),
            }
        )
    return rows


def timed(run: Callable[[], GenerationResult]) -> tuple[GenerationResult, tuple[float, float]]:
    """A run's result, its seconds and its CPU seconds."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, (time.perf_counter() - start, time.process_time() - start_cpu)


def verdict(one: GenerationResult, other: GenerationResult) -> str:
    """Whether two results are the same, bit for bit."""
    same = (
        one.filter_counts == other.filter_counts
        and one.masks.rles == other.masks.rles
        and one.masks.predicted_iou.tobytes() == other.masks.predicted_iou.tobytes()
        and one.masks.stability_score.tobytes() == other.masks.stability_score.tobytes()
    )
    return "yes" if same else "no"


if __name__ == "__main__":
    main()
