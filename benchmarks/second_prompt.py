"""The first click on a picture and the second: `python -m benchmarks.second_prompt --help`.

Ours as the task and the command line run it, picture in and mask out; Meta's by its
`SAM2ImagePredictor`; on the same weights, a checkpoint of official format (`tests/blobs.py`). With
`--host` also ours in a workflow of the real Ikomia, up to the filled outputs. Times are medians
over pictures that differ in a pixel, elapsed and (in brackets) of the CPU; a first one warms up.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sam2.modeling.sam2_base import SAM2Base

from benchmarks.common import load_picture
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.segmentation import Segmenter
from tests.blobs import blob_network
from tests.networks import meta_predictor

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Ours:
    """The plugin."""

    def __init__(self, name: str, weights: Path) -> None:
        self._segmenter = Segmenter()
        self._parameters = Parameters(
            model_name=name,
            model_path=str(weights),
            cuda=False,
            apply_postprocessing=False,  # as Meta's network does when it is built without
        )

    def show(self, picture: Image) -> None:
        """Take another picture, without any work yet."""
        self._picture = picture

    def click(self, x: int, y: int) -> Mask:
        """The mask of a point, in pixels of the picture."""
        parameters = replace(self._parameters, input_point=f"[{x}, {y}]")
        return self._segmenter.segment(self._picture, parameters).ranked[0].rles[0].decode()


class Metas:
    """Meta's predictor, which is told of a new picture by the first click on it."""

    def __init__(self, network: SAM2Base) -> None:
        self._predictor = meta_predictor(network)
        self._is_new = True

    def show(self, picture: Image) -> None:
        """Take another picture, without any work yet."""
        self._picture, self._is_new = picture, True

    def click(self, x: int, y: int) -> Mask:
        """The mask of a point, in pixels of the picture."""
        if self._is_new:
            self._predictor.set_image(self._picture)
            self._is_new = False
        points, labels = np.array([[x, y]]), np.array([1])
        masks, _, _ = self._predictor.predict(points, labels, multimask_output=False)
        mask: Mask = masks[0].astype(bool)
        return mask


class InHost:
    """The plugin as a task of a workflow."""

    def __init__(self, name: str, weights: Path) -> None:
        os.environ.setdefault("IKOMIA_AUTO_COMPLETION", "0")
        from ikomia.dataprocess.workflow import Workflow

        from infer_segment_anything_2.infer_segment_anything_2_process import InferSegmentAnything2

        self._workflow = Workflow()
        self._task = InferSegmentAnything2("infer_segment_anything_2", None)
        self._workflow.add_task(task=self._task, auto_connect=True)
        self._task.set_parameters(
            {
                "model_name": name,
                "model_path": str(weights),
                "cuda": False,
                "apply_postprocessing": False,
            }
        )

    def show(self, picture: Image) -> None:
        """Take another picture, without any work yet."""
        self._picture = picture

    def click(self, x: int, y: int) -> Mask:
        """The mask of a point, in pixels of the picture."""
        self._task.set_parameters({"input_point": [x, y]})
        self._workflow.run_on(array=self._picture)
        mask: Mask = self._task.get_output(1).masks.rles[0].decode()
        return mask


Side = Metas | Ours | InHost


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="sam2.1_hiera_tiny", help="an official name")
    parser.add_argument("--picture", default="astronaut", help="a file, or a name in skimage.data")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megapixels", type=float, default=0.0, help="scales the picture")
    parser.add_argument("--host", action="store_true", help="also in Ikomia, which must be there")
    arguments = parser.parse_args()
    picture = load_picture(arguments.picture, arguments.megapixels).copy()
    network = blob_network(arguments.network)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        torch.save({"model": network.state_dict()}, weights)
        sides: dict[str, Side] = {
            "Meta's predictor": Metas(network),
            "here": Ours(arguments.network, weights),
        }
        if arguments.host:
            sides["here, in Ikomia"] = InHost(arguments.network, weights)
        seconds, differing_px = measure(sides, picture, arguments.repeats)
    print("| | first click s (CPU s) | second click s (CPU s) | times faster |\n|---|---|---|---|")
    for side in sides:
        (first, first_cpu), (second, second_cpu) = (
            [statistics.median(times) for times in zip(*seconds[side, click], strict=True)]
            for click in (0, 1)
        )
        print(
            f"| {side} | {first:.2f} ({first_cpu:.2f}) | {second:.3f} ({second_cpu:.3f}) "
            f"| {first / second:.0f} |"
        )
    print(f"\nThe masks differ in {differing_px} of {picture.shape[0] * picture.shape[1]} pixels.")


def measure(
    sides: dict[str, Side], picture: Image, repeats: int
) -> tuple[dict[tuple[str, int], list[tuple[float, float]]], int]:
    """The seconds of each side's first and second clicks, and the most pixels of difference."""
    seconds: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    most_px = 0
    height, width = picture.shape[:2]
    clicks = [(width // 3, height // 3), (width // 2, 2 * height // 3)]
    for repeat in range(repeats + 1):
        picture[0, 0] = repeat
        for side in sides.values():
            side.show(picture.copy())
        for number, (x, y) in enumerate(clicks):
            masks = []
            for name, side in sides.items():
                start, start_cpu = time.perf_counter(), time.process_time()
                masks.append(side.click(x, y))
                used = (time.perf_counter() - start, time.process_time() - start_cpu)
                seconds[name, number].append(used)
            most_px = max(most_px, *(int((masks[0] != mask).sum()) for mask in masks[1:]))
    return {key: times[1:] for key, times in seconds.items()}, most_px


if __name__ == "__main__":
    main()
