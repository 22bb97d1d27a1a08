"""A case of `automatic_masks` on a GPU, against Meta's code as it is and compiled."""

from __future__ import annotations

import argparse
import contextlib
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base

from benchmarks.common import Image, agreement
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import PreparedImage
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.network.casting import cast_encoder
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Generators, differences

__all__ = [
    "SIDES",
    "WARM_UPS",
    "OnDevice",
    "device_markdown",
    "run_times_ms",
    "synchronise",
    "time_on_device",
]

SIDES = ("ours", "meta", "meta-compiled")
WARM_UPS = 3


class OnDevice(Generators):
    """Both sides on a device; in half precision with the encoder's weights cast, as when loaded.

    Args:
        network: Anywhere; it is copied.
        precision: Of our side.
        device: Where to run.
    """

    def __init__(self, network: SAM2Base, precision: torch.dtype, device: str) -> None:
        super().__init__(copy.deepcopy(network).to(device), precision)
        self.encoding = self.network
        if precision != torch.float32:
            self.encoding = copy.deepcopy(self.network)
            cast_encoder(self.encoding, precision)

    def embed(self, image_rgb_hwc: Image) -> PreparedImage:
        """The picture's features."""
        embedding = embed_image(self.encoding, image_rgb_hwc, precision=self.precision)
        return self.decoder.prepare(embedding)


def time_on_device(
    sides: Generators, picture: Image, settings: GridSettings, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Times each side after warm-ups, with its peak memory, and compares the masks.

    Meta's side runs in the precision of the case, under autocast as Meta recommends. The verdict is
    against Meta's masks in float32. TF32 is off: convolutions would round to ten bits otherwise.
    """
    torch.backends.cudnn.allow_tf32 = False
    device, precision = arguments.device, sides.precision
    both = OnDevice(sides.network, precision, device)
    reference = both.meta(picture, settings)
    row: dict[str, Any] = {}
    for side in arguments.sides:
        try:
            run = _run_of(side, both, picture, settings, precision, device)
            row[side] = _measured(run, arguments.repeats, device)
        except RuntimeError as error:  # no compiler, no memory
            row[side] = {"failed": str(error).strip().splitlines()[0]}
    result = both.ours(picture, settings)
    row["masks"] = len(result.masks)
    row["differences"] = differences(result.masks, reference)
    row["agreement"] = agreement(result.masks, reference)
    return row


def _run_of(
    side: str,
    both: OnDevice,
    picture: Image,
    settings: GridSettings,
    precision: torch.dtype,
    device: str,
) -> Callable[[], Any]:
    if side == "ours":
        return lambda: both.ours(picture, settings)
    theirs: Generators = both if side == "meta" else _compiled(both)

    def run() -> Any:
        with _autocast(precision, device):
            return theirs.meta(picture, settings)

    return run


def _compiled(both: OnDevice) -> Generators:
    """Meta's network with encoder and mask decoder compiled; the encoder as Meta's option does."""
    compiled = Generators(copy.deepcopy(both.network))
    network: Any = compiled.network
    network.image_encoder.forward = torch.compile(
        network.image_encoder.forward, mode="max-autotune", fullgraph=True, dynamic=False
    )
    network.sam_mask_decoder.predict_masks = torch.compile(
        network.sam_mask_decoder.predict_masks, dynamic=False
    )
    return compiled


def _autocast(precision: torch.dtype, device: str) -> contextlib.AbstractContextManager[Any]:
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=precision)


def _measured(run: Callable[[], Any], repeats: int, device: str) -> dict[str, Any]:
    """Median milliseconds, the first call's, and the peak of memory that PyTorch allocated."""
    times = run_times_ms(run, WARM_UPS + repeats, device)
    measured = {
        "ms": statistics.median(times[WARM_UPS:]),
        "first_ms": times[0],
        "all_ms": times,
    }
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        measured["peak_mb"] = (torch.cuda.max_memory_allocated() - before) / 2**20
        measured["gpu"] = torch.cuda.get_device_name()
    return measured


def run_times_ms(run: Callable[[], Any], times: int, device: str) -> list[float]:
    """Elapsed milliseconds of each of so many runs, from an idle device to an idle device."""
    found = []
    for _ in range(times):
        synchronise(device)
        start = time.perf_counter()
        run()
        synchronise(device)
        found.append(1000 * (time.perf_counter() - start))
    return found


def synchronise(device: str) -> None:
    """Waits until a GPU has done all that it was asked."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def device_markdown(report: dict[str, Any]) -> str:
    """Writes the report as a table."""
    lines = [f"{key}: {value}  " for key, value in report["machine"].items()]
    lines += [
        "",
        "| case | picture | masks | ours ms | Meta ms (first run) | Meta compiled ms (first run) "
        "| times faster than each | peak MB ours / Meta / compiled | equal to Meta in float32 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_markdown_row(row) for row in report["rows"]])


def _markdown_row(row: dict[str, Any]) -> str:
    ours = row.get("ours", {}).get("ms")
    times, faster = [], []
    for side in SIDES:
        found = row.get(side, {})
        if "ms" not in found:
            times.append(found.get("failed", "-"))
        elif side == "ours":
            times.append(f"{found['ms']:.1f}")
        else:
            times.append(f"{found['ms']:.1f} ({found['first_ms']:.0f})")
            faster += [f"{found['ms'] / ours:.1f}"] if ours else []
    peak_of = [row.get(side, {}).get("peak_mb") for side in SIDES]
    peaks = " / ".join("-" if peak is None else f"{peak:.0f}" for peak in peak_of)
    verdict = "yes" if not row["differences"] else f"no: {'; '.join(row['differences'][:3])}"
    cells = [row["case"], row["picture"], str(row["masks"]), *times, " and ".join(faster), peaks]
    return "| " + " | ".join([*cells, f"{verdict} ({row['agreement']})"]) + " |"
