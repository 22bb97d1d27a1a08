"""Where a GPU's time goes in everything mode: by stage, by size of chunks, with launches and stops.

    python -m benchmarks.gpu_stages                                  tiny, float32 and bfloat16
    python -m benchmarks.gpu_stages --network nano --device cpu      a rehearsal without a GPU

Each stage is run again and again between two synchronisations; the median counts. Launches are
those that the profiler saw in one run, stops those that CUDA warned of (the host waiting for the
queue). Prints Markdown and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.common import Image, load_picture, network_named
from benchmarks.on_device import WARM_UPS, OnDevice, run_times_ms, synchronise
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from infer_segment_anything_2.sam2_engine.masks.writing import rles_from_logits
from infer_segment_anything_2.sam2_engine.settings import GridSettings

OUTPUT = Path(__file__).resolve().parent / "results" / "local" / "gpu_stages.json"
POINTS = 256
# Masks of half of the points, as many as are scored; and as many as are written in the end.
SCORED, WRITTEN = 230, 100
BATCHES = (16, 64, 256)
TOP_KERNELS = 20


def main() -> None:
    """Measures what the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--network", default="sam2.1_hiera_tiny")
    parser.add_argument("--picture", default="coffee", help="a file, or a name in skimage.data")
    parser.add_argument("--megapixels", type=float, default=2.16, help="1800 x 1200; 0: as it is")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False
    picture = load_picture(arguments.picture, arguments.megapixels)
    rows: list[dict[str, Any]] = []
    for precision in (torch.float32, torch.bfloat16):
        side = OnDevice(network_named(arguments.network), precision, arguments.device)
        for name, run in {**stages(side, picture), **searches(side, picture)}.items():
            row = {"precision": str(precision).removeprefix("torch."), "stage": name}
            rows.append({**row, **measured(run, arguments.repeats, arguments.device)})
            print(json.dumps({k: v for k, v in rows[-1].items() if k != "kernels"}), flush=True)
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(rows, indent=1) + "\n")  # also if cut short
    print(markdown(rows))


def stages(side: OnDevice, picture: Image) -> dict[str, Callable[[], Any]]:
    """The steps of a search, each with what the one before gives."""
    network, decoder, device = side.encoding, side.decoder, side.decoder.device
    image_hw = (picture.shape[0], picture.shape[1])
    embedding = embed_image(network, picture, precision=side.precision)
    image = decoder.prepare(embedding)
    points_b12 = torch.rand(POINTS, 1, 2, generator=torch.Generator().manual_seed(0)).to(device)
    points_b12 *= torch.tensor(image_hw[::-1], device=device)
    labels_b1 = torch.ones(POINTS, 1, dtype=torch.int32, device=device)
    decoded = decoder.decode(image, decoder.prompts.points(points_b12, labels_b1, image_hw))
    wanted = np.arange(SCORED)
    logits = decoder.mask_logits(image, decoded, wanted // 2, wanted % 2 + 1)
    upsampling = Upsampling(decoder.prompts.mask_size_hw, image_hw, device, in_bulk=True)
    return {
        "picture to input (host)": lambda: network_input(picture, network.image_size),
        "picture and encoder": lambda: embed_image(network, picture, precision=side.precision),
        "prepare": lambda: decoder.prepare(embedding),
        f"decode {POINTS} points": lambda: decoder.decode(
            image, decoder.prompts.points(points_b12, labels_b1, image_hw)
        ),
        f"{SCORED} masks": lambda: decoder.mask_logits(image, decoded, wanted // 2, wanted % 2 + 1),
        f"score {SCORED} masks": lambda: score(logits, upsampling, 0.0, 1.0),
        f"write {WRITTEN} masks": lambda: rles_from_logits(
            logits[:WRITTEN], upsampling, 0.0, (0, 0), image_hw
        ),
    }


def searches(side: OnDevice, picture: Image) -> dict[str, Callable[[], Any]]:
    """Whole searches, for several sizes of chunks: a chunk is four times the batch on a GPU."""
    settings = GridSettings(pred_iou_thresh=0.5, stability_score_thresh=0.6)
    return {
        f"32 x 32, points_per_batch {batch}": lambda batch=batch: side.ours(  # type: ignore[misc]
            picture, replace(settings, points_per_batch=batch)
        )
        for batch in BATCHES
    }


def measured(run: Callable[[], Any], repeats: int, device: str) -> dict[str, Any]:
    """Median milliseconds, launches, stops, peak memory and the longest kernels."""
    times = run_times_ms(run, WARM_UPS + repeats, device)
    found: dict[str, Any] = {"ms": statistics.median(times[WARM_UPS:]), "all_ms": times}
    if torch.device(device).type != "cuda":
        return found
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        run()
        torch.cuda.set_sync_debug_mode("default")
    found["stops"] = sum("synchronizing" in str(warning.message) for warning in caught)
    found["peak_mb"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        run()
        synchronise(device)
    events = profiled.key_averages()
    found["launches"] = sum(event.count for event in events if "LaunchKernel" in event.key)
    found["kernels"] = events.table(sort_by="self_cuda_time_total", row_limit=TOP_KERNELS)
    return found


def markdown(rows: list[dict[str, Any]]) -> str:
    """Writes the rows as a table."""
    lines = ["| precision | stage | ms | launches | stops | peak MB |", "|---|---|---|---|---|---|"]
    for row in rows:
        peak = f"{row['peak_mb']:.0f}" if "peak_mb" in row else "-"
        cells = [row["precision"], row["stage"], f"{row['ms']:.2f}"]
        cells += [str(row.get("launches", "-")), str(row.get("stops", "-")), peak]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
