"""Clicks and new pictures beside other programs: `python -m benchmarks.busy_machine --help`.

Each side runs in a process of its own, with the environment as it is: first on the machine as it
is, then beside so many processes that do nothing but count. Times are medians of elapsed time. The
plugin lets its threads sleep soon while they wait (`sam2_engine.hardware.waiting`), Meta's code
leaves them spinning.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infer_segment_anything_2.parameters import DEMO_MODEL_NAME, Parameters
from infer_segment_anything_2.segmentation import Segmenter

_BUSY = "while True: pass"
_POINTS = [(200 + 10 * number, 150 + 6 * number) for number in range(20)]
SIDES = ("meta", "here")
WORK = ("click", "new picture")


def ours() -> dict[str, Callable[[int], object]]:
    """The plugin's work, by its name; each takes the number of the repeat."""
    segmenter = Segmenter()
    parameters = Parameters(model_name=DEMO_MODEL_NAME, cuda=False)
    segmenter.load(parameters)  # which imports torch, before anything else here does

    from dataclasses import replace

    from benchmarks.common import load_picture

    picture = load_picture("coffee", 0)

    def click(number: int) -> object:
        x, y = _POINTS[number]
        return segmenter.segment(picture, replace(parameters, input_point=f"[{x}, {y}]"))

    def new_picture(number: int) -> object:
        picture[0, 0] = number + 1
        return segmenter.load(parameters).embed(picture)

    return {"click": click, "new picture": new_picture}


def metas() -> dict[str, Callable[[int], object]]:
    """The same work by Meta's predictor."""
    import numpy as np

    from benchmarks.common import load_picture, network_named
    from tests.networks import meta_predictor

    predictor = meta_predictor(network_named(DEMO_MODEL_NAME))
    picture = load_picture("coffee", 0)
    predictor.set_image(picture)

    def click(number: int) -> object:
        return predictor.predict(np.array([_POINTS[number]]), np.array([1]))

    def new_picture(number: int) -> object:
        picture[0, 0] = number + 1
        return predictor.set_image(picture)

    return {"click": click, "new picture": new_picture}


def medians_ms(work: dict[str, Callable[[int], object]], repeats: int) -> dict[str, float]:
    """The median time of each work; a first one warms up."""
    medians = {}
    for name in WORK:
        times_s = []
        for number in range(repeats + 1):
            start_s = time.perf_counter()
            work[name](number)
            times_s.append(time.perf_counter() - start_s)
        medians[name] = 1000 * statistics.median(times_s[1:])
    return medians


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keeps so many processes busy."""
    started = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def measured(side: str, repeats: int) -> dict[str, float]:
    """What a new process measures."""
    command = [sys.executable, "-m", "benchmarks.busy_machine", "--side", side]
    done = subprocess.run(
        [*command, "--repeats", str(repeats)], capture_output=True, text=True, check=True
    )
    medians: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return medians


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=6, help="that are busy beside")
    parser.add_argument("--repeats", type=int, default=9, help="20 at most")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        work = ours() if arguments.side == "here" else metas()
        print(json.dumps(medians_ms(work, arguments.repeats)))
        return
    idle = {side: measured(side, arguments.repeats) for side in SIDES}
    with busy(arguments.processes):
        loaded = {side: measured(side, arguments.repeats) for side in SIDES}
    print(f"| | alone ms | beside {arguments.processes} busy processes ms | times longer |")
    print("|---|---|---|---|")
    for side in SIDES:
        for name in WORK:
            alone_ms, beside_ms = idle[side][name], loaded[side][name]
            print(
                f"| {side}: {name} | {alone_ms:.0f} | {beside_ms:.0f} "
                f"| {beside_ms / alone_ms:.1f} |"
            )


if __name__ == "__main__":
    main()
