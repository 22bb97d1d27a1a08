"""What a closer look costs: `python -m benchmarks.windows --network sam2.1_hiera_tiny`.

Windows encoded one by one and together, with the largest difference of their features; and boxes
on a picture, with and without a window around each. Official architectures have random weights:
their masks are worth nothing, their time is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from benchmarks.common import Image, load_picture, network_named
from infer_segment_anything_2.prompts import BoxXyxy, ObjectPrompt
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.prompted.windows import window_around
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings, ZoomRule

Name = TypeVar("Name", int, str)

# Boxes of this part of the picture's sides, so far apart that each has its own window.
_SIDE = 1 / 8
_BOXES_PER_SIDE = 2


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="sam2_demo_nano", help="or an official name")
    parser.add_argument("--picture", default="coffee", help="a file, or a name in skimage.data")
    parser.add_argument("--megapixels", type=float, default=3.0)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    plain = load_model("sam2_demo_nano", device=torch.device("cpu"))
    model = replace(plain, network=network_named(arguments.network))
    picture = load_picture(arguments.picture, arguments.megapixels)
    print(f"{arguments.network}, {model.network.image_size} pixels, median of {arguments.repeats}")
    with torch.inference_mode():
        if arguments.batches:
            _encode_together(model, picture, arguments.batches, arguments.repeats)
        _ask(model, picture, arguments.repeats)


def _boxes(picture: Image) -> list[BoxXyxy]:
    """Boxes on a raster, well apart."""
    height, width = picture.shape[:2]
    middles = (np.arange(_BOXES_PER_SIDE) + 0.5) / _BOXES_PER_SIDE
    return [
        (
            (x - _SIDE / 2) * width,
            (y - _SIDE / 2) * height,
            (x + _SIDE / 2) * width,
            (y + _SIDE / 2) * height,
        )
        for y in middles
        for x in middles
    ]


def _encode_together(model: LoadedModel, picture: Image, batches: list[int], repeats: int) -> None:
    """Seconds of a window when so many are encoded together."""
    network, boxes = model.network, _boxes(picture)
    image_hw = (picture.shape[0], picture.shape[1])
    inputs = [
        network_input(window_around(box, image_hw).cut(picture), network.image_size)
        for box in boxes
    ]

    features: dict[int, torch.Tensor] = {}

    def encode(together: int) -> None:
        parts = [
            network.forward_image(torch.cat(inputs[first : first + together]))["backbone_fpn"][-1]
            for first in range(0, len(inputs), together)
        ]
        features[together] = torch.cat(parts)

    alone: torch.Tensor | None = None
    for together, times in _in_turns({n: partial(encode, n) for n in batches}, repeats).items():
        alone = features[together] if alone is None else alone
        differ = float((features[together] - alone).abs().max() / alone.abs().max())
        print(
            f"{together} windows together: {_told(times, len(inputs))} a window, features differ "
            f"from the first line's by {differ:.1e}",
            flush=True,
        )


def _ask(model: LoadedModel, picture: Image, repeats: int) -> None:
    """Seconds of an object, without and with its window, and of a further question in it."""
    engine, box = Engine(model), _boxes(picture)[0]
    encoded: list[int] = []
    hook = model.network.image_encoder.register_forward_hook(lambda *_: encoded.append(1))

    def ask(rule: ZoomRule) -> None:
        engine.predict(
            image,
            [ObjectPrompt(box_xyxy_px=box)],
            PredictionSettings(zoom=rule),
            image_rgb_hwc=picture,
        )

    image = engine.embed(picture, remember=False)
    encoded.clear()
    ask("always")
    windows = len(encoded)
    hook.remove()

    def ask_in_new_windows() -> None:
        engine._cache.clear()
        ask("always")

    runs: dict[str, Callable[[], object]] = {
        "the picture encoded": lambda: engine.embed(picture, remember=False),
        "a box, off": lambda: ask("off"),
        f"a box, always ({windows} windows)": ask_in_new_windows,
        "the same once more": lambda: ask("always"),
    }
    for name, times in _in_turns(runs, repeats).items():
        print(f"{name}: {_told(times, 1)}", flush=True)


@dataclass
class _Times:
    """Seconds of one run, again and again: elapsed, and of all threads."""

    elapsed_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def _told(times: _Times, parts: int) -> str:
    elapsed_s, cpu_s = (statistics.median(all_s) for all_s in (times.elapsed_s, times.cpu_s))
    return f"{elapsed_s / parts:.3f} s (CPU {cpu_s / parts:.3f} s)"


def _in_turns(runs: dict[Name, Callable[[], object]], repeats: int) -> dict[Name, _Times]:
    """Times of each of some runs, in turns; the first turn is a warm-up."""
    times_of: dict[Name, _Times] = {name: _Times() for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start_s, cpu_start_s = time.perf_counter(), time.process_time()
            run()
            if turn:
                times_of[name].elapsed_s.append(time.perf_counter() - start_s)
                times_of[name].cpu_s.append(time.process_time() - cpu_start_s)
    return times_of


if __name__ == "__main__":
    main()
