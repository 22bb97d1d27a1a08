"""Does memory stay flat? `make soak` runs the task 200 times in a row and watches the process.

The runs differ as a day's work does: everything and prompts, pictures old and new, small and large,
three ranks, crops, reduced pictures, a run that is stopped, one that fails, and now and then
a new task with the model read anew. The verdict compares the memory of the second half with what
the first half needed; it can be wrong by what the system's allocator keeps, hence the allowance.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "infer_segment_anything_2"
RUNS = 200
# Growth over the second half of the runs that is still called flat.
MOST_GROWTH_MB = 20.0
MOST_GROWTH_PART = 0.02
_TELL_EVERY = 10
# The first runs fill caches, among them that of the pictures' embeddings.
_WARM_UP_PART = 0.25

_EVERYTHING: dict[str, object] = {
    "points_per_side": 8,
    "iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
}
_NO_PROMPTS = {"input_point": "", "input_point_label": "", "input_box": ""}
_KINDS: tuple[dict[str, object], ...] = (
    _EVERYTHING,
    {"input_point": [[60, 40]]},
    {"input_box": [[10, 10, 80, 70], [30, 20, 110, 90]], "multimask_output": True},
    {**_EVERYTHING, "points_per_side": 4, "crop_n_layers": 1},
    {"input_point": [[60, 40], [5, 5]], "input_point_label": [1, 0], "multimask_output": True},
    {**_EVERYTHING, "input_size_percent": 50, "use_m2m": True},
    {"input_box": [20, 20, 90, 90]},
)
_SIZES_HW = ((96, 128), (240, 320), (128, 96), (600, 800), (480, 480))


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=RUNS, help="how many (default: %(default)s)")
    runs: int = parser.parse_args(arguments).runs
    # Ikomia, imported later, writes a log into its home.
    with tempfile.TemporaryDirectory(prefix="sam2_soak_") as home:
        os.environ.update(HOME=home, IKOMIA_AUTO_COMPLETION="0")
        return soak(runs)


def soak(runs: int) -> int:
    """Runs, tells every few runs, and returns 0 when memory was flat and given back."""
    print(f"{'run':>5} {'s':>7} {'MB now':>8} {'MB most':>8}")
    began = time.monotonic()
    task = Soak()
    logging.getLogger("ikomia").setLevel(logging.WARNING)  # not a line for every run
    memory_mb = []
    for index in range(runs):
        task.run(index)
        memory_mb.append(resident_mb())
        if index % _TELL_EVERY == _TELL_EVERY - 1 or index == runs - 1:
            now_mb, most_mb = memory_mb[-1], max(memory_mb)
            elapsed_s = time.monotonic() - began
            print(f"{index + 1:>5} {elapsed_s:>7.1f} {now_mb:>8.1f} {most_mb:>8.1f}", flush=True)
    is_flat, told = verdict(memory_mb)
    print(told)
    left = task.end()
    print("The model was given back with the last task." if not left else f"Still alive: {left}")
    return 0 if is_flat and not left else 1


class Soak:
    """A task in a workflow, used in all ways and sometimes replaced."""

    def __init__(self) -> None:
        from infer_segment_anything_2.infer_segment_anything_2_process import InferSegmentAnything2

        self._new_task: Callable[[], Any] = lambda: InferSegmentAnything2(NAME, None)
        self._models: list[weakref.ref[Any]] = []
        self._workflow: Any = None
        self._task: Any = None
        self._renew()

    def run(self, index: int) -> None:
        """Does the work of one run."""
        if index % 25 == 24:
            self._renew()
        settings = {**_NO_PROMPTS, "multimask_output": False, "input_size_percent": 100}
        settings |= {"crop_n_layers": 0, "use_m2m": False, **_KINDS[index % len(_KINDS)]}
        self._task.set_parameters(settings)
        image_rgb_hwc = picture(_SIZES_HW[index % len(_SIZES_HW)], seed=index // 3)
        if index % 20 == 13:
            self._fail(image_rgb_hwc)
        if index % 20 == 17:
            self._stop(image_rgb_hwc)
        self._workflow.run_on(array=image_rgb_hwc)
        self._task.get_image_with_mask()
        if index % 10 == 5:
            self._task.get_output(1).to_json()
        self._remember_model()

    def end(self) -> str:
        """Lets go of the task; tells what is alive of the models all the same."""
        del self._task, self._workflow
        gc.collect()
        alive = [model for model in (ref() for ref in self._models) if model is not None]
        return ", ".join(str(model.weights.path) for model in alive)

    def _renew(self) -> None:
        from ikomia.dataprocess.workflow import Workflow

        self._task = self._workflow = None
        gc.collect()
        self._workflow = Workflow()
        self._task = self._workflow.add_task(task=self._new_task(), auto_connect=True)
        self._task.set_parameters({"model_name": "sam2_demo_nano"})

    def _fail(self, image_rgb_hwc: npt.NDArray[np.uint8]) -> None:
        before = self._task.get_parameters()
        self._task.set_parameters({"input_box": [9000, 9000, 9100, 9100]})
        try:
            self._workflow.run_on(array=image_rgb_hwc)
        except RuntimeError as error:
            if "lies outside the picture" not in str(error):
                raise
        self._task.set_parameters(dict(before))

    def _stop(self, image_rgb_hwc: npt.NDArray[np.uint8]) -> None:
        self._task.emit_step_progress = self._task.stop
        self._workflow.run_on(array=image_rgb_hwc)
        del self._task.emit_step_progress

    def _remember_model(self) -> None:
        model = self._task._segmenter.load(self._task.get_param_object().values).model
        if not any(ref() is model for ref in self._models):
            self._models.append(weakref.ref(model))


def picture(image_hw: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Some rectangles on a coloured ground, the same for the same seed."""
    rng = np.random.default_rng(seed)
    image_rgb_hwc = np.empty((*image_hw, 3), np.uint8)
    image_rgb_hwc[:] = rng.integers(0, 90, 3)
    for _ in range(8):
        top, left = (int(rng.integers(0, side)) for side in image_hw)
        height, width = (int(rng.integers(8, side // 2)) for side in image_hw)
        image_rgb_hwc[top : top + height, left : left + width] = rng.integers(90, 255, 3)
    return image_rgb_hwc


def resident_mb() -> float:
    """Memory of this process that is in RAM now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def verdict(memory_mb: Sequence[float]) -> tuple[bool, str]:
    """Whether memory was flat, and that in a sentence.

    Compares the medians of the two halves of what follows the warm-up: a single large picture does
    not decide, a leak of a little in each run does.
    """
    settled = list(memory_mb[int(len(memory_mb) * _WARM_UP_PART) :])
    half = len(settled) // 2
    earlier, later = float(np.median(settled[:half])), float(np.median(settled[half:]))
    growth = later - earlier
    allowed = max(MOST_GROWTH_MB, MOST_GROWTH_PART * earlier)
    is_flat = growth <= allowed
    return is_flat, (
        f"{'Flat' if is_flat else 'NOT FLAT'}: {earlier:.1f} MB in the middle runs, {later:.1f} MB "
        f"in the last ones ({growth:+.1f} MB; up to {allowed:.0f} MB is allowed)"
    )


if __name__ == "__main__":
    sys.exit(main())
