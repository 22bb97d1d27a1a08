"""The automatic mode against Meta's generator: times, memory, and whether the masks are equal.

    python -m benchmarks.automatic_masks                 the whole table (hours on two cores)
    python -m benchmarks.automatic_masks --short         minutes: the bundled network, small grid
    python -m benchmarks.automatic_masks --cases tiny --picture truck.jpg --repeats 3
    python -m benchmarks.automatic_masks --device cuda   on a GPU, also with Meta's code compiled

Prints a table in Markdown and writes the same as JSON. `benchmarks/README.md` tells how it is
measured. Both sides run in turns in one process on the same weights, picture and thresholds; each
time is the median over the repeats, given as elapsed time and as CPU time of all threads (which
other programs on the machine disturb less). Memory is measured with each side in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import Image, agreement, load_picture, network_named
from benchmarks.on_device import SIDES, device_markdown, time_on_device
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Generators, differences, quantile_in_a_gap

ROOT = Path(__file__).resolve().parent.parent
LOCAL_RESULTS = ROOT / "benchmarks" / "results" / "local"

# glibc: no fresh pages for large tensors, and freed memory is kept. The same for both sides.
TUNED_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**36),
    "MALLOC_TOP_PAD_": str(2**26),
}
# The part of the points that keep a mask when predicted IoU has filtered: Meta's weights and
# thresholds leave 30 to 60 % in photographs.
POINTS_KEPT = 0.45
# The part of these masks that the stability score lets pass.
STABLE = 0.5


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        network: "nano" or an official name.
        megapixels: To scale the picture to; 0 leaves it as it is.
        settings: Of the grid; the thresholds are found on the picture.
        precision: Of our side; Meta's runs in float32.
        points_kept: The part of the points of which predicted IoU leaves a mask.
    """

    network: str
    settings: GridSettings
    megapixels: float = 0.0
    precision: torch.dtype = torch.float32
    points_kept: float = POINTS_KEPT


GRID = GridSettings()
CASES = {
    "short": Case("nano", replace(GRID, points_per_side=12)),
    "short-crops": Case(
        "nano",
        replace(GRID, points_per_side=8, crop_n_layers=1, crop_n_points_downscale_factor=2),
    ),
    "short-m2m": Case("nano", replace(GRID, points_per_side=6, use_m2m=True)),
    "nano": Case("nano", GRID),
    "nano-bfloat16": Case("nano", GRID, precision=torch.bfloat16),
    "tiny": Case("sam2.1_hiera_tiny", GRID),
    "tiny-all-kept": Case("sam2.1_hiera_tiny", GRID, points_kept=1.0),
    "tiny-bfloat16": Case("sam2.1_hiera_tiny", GRID, precision=torch.bfloat16),
    "tiny-16": Case("sam2.1_hiera_tiny", replace(GRID, points_per_side=16)),
    "tiny-16-bfloat16": Case(
        "sam2.1_hiera_tiny", replace(GRID, points_per_side=16), precision=torch.bfloat16
    ),
    "tiny-8": Case("sam2.1_hiera_tiny", replace(GRID, points_per_side=8)),
    "tiny-m2m": Case("sam2.1_hiera_tiny", replace(GRID, points_per_side=8, use_m2m=True)),
    "tiny-crops": Case(
        "sam2.1_hiera_tiny",
        replace(GRID, points_per_side=16, crop_n_layers=1, crop_n_points_downscale_factor=2),
    ),
    "large": Case("sam2.1_hiera_large", GRID),
    "large-bfloat16": Case("sam2.1_hiera_large", GRID, precision=torch.bfloat16),
    "large-16": Case("sam2.1_hiera_large", replace(GRID, points_per_side=16)),
    "tiny-12mp": Case("sam2.1_hiera_tiny", replace(GRID, points_per_side=8), megapixels=12),
    "tiny-48mp": Case("sam2.1_hiera_tiny", replace(GRID, points_per_side=8), megapixels=48),
}
SHORT_CASES = ("short", "short-crops", "short-m2m")
# Meta's weights and thresholds are not needed to compare times; precisions are.
DEVICE_CASES = ("nano", "tiny", "tiny-bfloat16", "large", "large-bfloat16")


def main() -> None:
    """Measure what the arguments ask for."""
    arguments = parse_arguments()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments)))
        return
    on_device = arguments.device != "cpu"
    every = DEVICE_CASES if on_device else tuple(CASES)
    names = SHORT_CASES if arguments.short else (arguments.cases or every)
    rows = []
    for name in names:
        found = run_child("find", name, arguments)
        thresholds = [str(found["pred_iou_thresh"]), str(found["stability_score_thresh"])]
        if on_device:
            measured = run_child("time-on-device", name, arguments, "default", thresholds)
            rows.append({"case": name, **found, **measured})
            print(json.dumps(rows[-1]), file=sys.stderr)
            continue
        for allocator in arguments.allocators:
            row = {"case": name, "allocator": allocator, **found}
            row.update(run_child("time", name, arguments, allocator, thresholds))
            for side in arguments.sides:
                used = run_child(f"memory-{side}", name, arguments, allocator, thresholds)
                row[f"{side}_mb"] = used["mb"]
            rows.append(row)
            print(json.dumps(row), file=sys.stderr)
    report = {"machine": describe_machine(), "arguments": vars(arguments), "rows": rows}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1, default=str) + "\n")
    print(device_markdown(report) if on_device else markdown(report))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the cases that take minutes")
    parser.add_argument("--cases", nargs="+", choices=CASES, metavar="CASE")
    parser.add_argument("--device", default="cpu", help="cpu, or a GPU: cuda, cuda:1")
    parser.add_argument("--picture", default="coffee", help="a file, or a name in skimage.data")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its own number")
    parser.add_argument(
        "--allocators", nargs="+", choices=("default", "tuned"), default=["default", "tuned"]
    )
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=SIDES,
        help="what to measure; ours alone where Meta's needs more memory than there is",
    )
    parser.add_argument("--output", type=Path, default=LOCAL_RESULTS / "automatic_masks.json")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--thresholds", nargs=2, type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sides is None:
        arguments.sides = list(SIDES if arguments.device != "cpu" else SIDES[:2])
    return arguments


def run_child(
    what: str,
    case: str,
    arguments: argparse.Namespace,
    allocator: str = "default",
    thresholds: list[str] | None = None,
) -> dict[str, Any]:
    """Run one step in a fresh process, as the allocator is set when a process starts."""
    command = [sys.executable, "-m", "benchmarks.automatic_masks", "--child", what, "--cases", case]
    command += ["--picture", arguments.picture, "--repeats", str(arguments.repeats)]
    command += ["--threads", str(arguments.threads), "--sides", *arguments.sides]
    command += ["--device", arguments.device]
    command += ["--thresholds", *thresholds] if thresholds else []
    environment = {**os.environ, **(TUNED_ALLOCATOR if allocator == "tuned" else {})}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def prepare(arguments: argparse.Namespace) -> tuple[Generators, Image, GridSettings]:
    """Make the network, the picture and the settings of a case."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    case = CASES[arguments.cases[0]]
    network = network_named(case.network)
    settings = case.settings
    if arguments.thresholds:
        iou, stability = arguments.thresholds
        settings = replace(settings, pred_iou_thresh=iou, stability_score_thresh=stability)
    sides = Generators(network, case.precision)
    return sides, load_picture(arguments.picture, case.megapixels), settings


def find_thresholds(arguments: argparse.Namespace) -> dict[str, Any]:
    """Choose the thresholds by the masks of a coarse grid."""
    sides, picture, settings = prepare(arguments)
    coarse = replace(settings, points_per_side=min(8, settings.points_per_side))
    every = sides.unfiltered(picture, coarse)
    _, point_of_mask = np.unique(every.points_xy_px, axis=0, return_inverse=True)
    best_of_point = np.zeros(point_of_mask.max() + 1, np.float32)
    np.maximum.at(best_of_point, point_of_mask.ravel(), every.predicted_iou)
    iou = quantile_in_a_gap(best_of_point, 1 - CASES[arguments.cases[0]].points_kept)
    stability = every.stability_score[every.predicted_iou > iou]
    return {
        "picture": f"{picture.shape[1]} x {picture.shape[0]}",
        "points_kept": float((best_of_point > iou).mean()),
        "pred_iou_thresh": iou,
        "stability_score_thresh": quantile_in_a_gap(stability, 1 - STABLE),
    }


def time_both(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run both sides in turns; the first turn of each is a warm-up unless it is the only one."""
    sides, picture, settings = prepare(arguments)
    runs: dict[str, Callable[[], Any]] = {"ours": lambda: sides.ours(picture, settings)}
    if "meta" in arguments.sides:
        runs["meta"] = lambda: sides.meta(picture, settings)
    elapsed: dict[str, list[float]] = {side: [] for side in runs}
    cpu: dict[str, list[float]] = {side: [] for side in runs}
    results = {}
    for _ in range(arguments.repeats + (arguments.repeats > 1)):
        for side, run in runs.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            results[side] = run()
            elapsed[side].append(time.perf_counter() - start)
            cpu[side].append(time.process_time() - start_cpu)
    row: dict[str, Any] = {"masks": len(results["ours"].masks)}
    for side in runs:
        row[f"{side}_s"] = statistics.median(elapsed[side][-arguments.repeats :])
        row[f"{side}_cpu_s"] = statistics.median(cpu[side][-arguments.repeats :])
        row[f"{side}_all_s"] = elapsed[side]
    counts = results["ours"].filter_counts
    row["passed_iou"] = counts.after_iou / counts.proposed
    row["passed_both"] = counts.after_stability / counts.proposed
    if "meta" in runs:
        row["differences"] = differences(results["ours"].masks, results["meta"])
        row["agreement"] = agreement(results["ours"].masks, results["meta"])
    return row


def measure_memory(side: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """Peak memory of one run beyond imports, network and picture."""

    def measure(arguments: argparse.Namespace) -> dict[str, Any]:
        sides, picture, settings = prepare(arguments)
        reset_peak()
        before = status_mb("VmRSS")
        kept = (sides.ours if side == "ours" else sides.meta)(picture, settings)
        result = {"mb": status_mb("VmHWM") - before}
        del kept
        return result

    return measure


def status_mb(key: str) -> float:
    """Return one of the kernel's figures about this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(key))
    return int(line.split()[1]) / 1024


def reset_peak() -> None:
    """Forget the peak of making the network: what counts is the run."""
    Path("/proc/self/clear_refs").write_text("5")


CHILDREN: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "find": find_thresholds,
    "time": time_both,
    "time-on-device": lambda arguments: time_on_device(*prepare(arguments), arguments),
    "memory-ours": measure_memory("ours"),
    "memory-meta": measure_memory("meta"),
}


def describe_machine() -> dict[str, str]:
    """Tell what the figures depend on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return {
        "cpu": f"{model}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()}",
        "load": f"{os.getloadavg()[0]:.1f} at the end",
        "system": platform.platform(),
        "versions": ", ".join(
            f"{name} {version(name)}" for name in ("torch", "torchvision", "sam2", "numpy")
        )
        + f", Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
    }


def markdown(report: dict[str, Any]) -> str:
    """Write the report as a table."""
    lines = [f"{key}: {value}  " for key, value in report["machine"].items()]
    lines += [
        "",
        "| case | picture | allocator | points kept | masks passing IoU / both | masks "
        "| Meta s (CPU s) | ours s (CPU s) | times faster (CPU) | peak MB Meta / ours | equal |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [markdown_row(row) for row in report["rows"]]
    return "\n".join(lines)


def markdown_row(row: dict[str, Any]) -> str:
    """Write one line of the table."""
    ours, meta, ratio, verdict = f"{row['ours_s']:.1f} ({row['ours_cpu_s']:.1f})", "-", "-", "-"
    if "meta_s" in row:
        meta = f"{row['meta_s']:.1f} ({row['meta_cpu_s']:.1f})"
        elapsed, cpu = row["meta_s"] / row["ours_s"], row["meta_cpu_s"] / row["ours_cpu_s"]
        ratio = f"{elapsed:.1f} ({cpu:.1f})"
        verdict = "yes" if not row["differences"] else f"no: {'; '.join(row['differences'][:3])}"
        verdict += f" ({row['agreement']})"
    memory = " / ".join(f"{row[key]:.0f}" if key in row else "-" for key in ("meta_mb", "ours_mb"))
    passing = f"{row['passed_iou']:.0%} / {row['passed_both']:.0%}"
    kept = f"{row['points_kept']:.0%}"
    cells = [row["case"], row["picture"], row["allocator"], kept, passing, str(row["masks"])]
    return "| " + " | ".join([*cells, meta, ours, ratio, memory, verdict]) + " |"


if __name__ == "__main__":
    main()
