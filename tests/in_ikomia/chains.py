"""A detector and a segmenter that others might have written, and workflows of them and our task."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
from ikomia import core, dataprocess
from ikomia.dataprocess.workflow import Workflow

from tests.conftest import PLUGIN_NAME

FACE, ROCKET = "face", "rocket"
COLOURS = {FACE: [200, 30, 60], ROCKET: [30, 200, 40]}
DETECTOR_NAME = "test_detector"
SEGMENTER_NAME = "test_segmenter"
FILTER_NAME = "ik_instance_segmentation_filter"
BRIGHT = 200


class NoParam(core.CWorkflowTaskParam):
    """No parameters: the host still wants an object."""

    def get_values(self) -> dict[str, str]:
        return {}

    def set_values(self, params: dict[str, str]) -> None:
        pass


class Detector(dataprocess.CObjectDetectionTask):
    """Finds a rocket and a face where they always are, or, in a dark picture, what is bright."""

    def __init__(self, param: NoParam | None = None) -> None:
        super().__init__(DETECTOR_NAME)
        self.set_param_object(param or NoParam())

    def get_progress_steps(self) -> int:
        return 1

    def run(self) -> None:
        self.begin_task_run()
        self.get_output(1).clear_data()
        self.set_names(list(COLOURS))
        self.set_colors(list(COLOURS.values()))
        for index, (class_index, box) in enumerate(self._found()):
            self.add_object(index, class_index, 0.9, *box)
        self.end_task_run()

    def _found(self) -> list[tuple[int, tuple[float, ...]]]:
        """Class index and x, y, width, height."""
        image_hwc = self.get_input(0).get_image()
        if image_hwc.mean() > 30:
            return [(1, (82.5, 4.25, 40.0, 90.5)), (0, (38.0, 8.0, 35.0, 40.0))]
        rows, columns = np.nonzero(image_hwc[..., 0] > BRIGHT)
        if not len(rows):
            return []
        corner = (float(columns.min()), float(rows.min()))
        return [(0, (*corner, float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)))]


class Segmenter(dataprocess.CInstanceSegmentationTask):  # any other than ours
    """Finds two squares, wherever they are not."""

    def __init__(self, param: NoParam | None = None) -> None:
        super().__init__(SEGMENTER_NAME)
        self.set_param_object(param or NoParam())

    def get_progress_steps(self) -> int:
        return 1

    def run(self) -> None:
        self.begin_task_run()
        self.get_output(1).clear_data()
        self.set_names(list(COLOURS))
        self.set_colors(list(COLOURS.values()))
        height, width = self.get_input(0).get_image().shape[:2]
        for index, left in enumerate((20, 70)):
            mask_hw = np.zeros((height, width), np.uint8)
            mask_hw[30:60, left : left + 30] = 255
            self.add_object(index, 0, index, 0.9, float(left), 30.0, 30.0, 30.0, mask_hw)
        self.end_task_run()


class Factory(dataprocess.CTaskFactory):
    def __init__(self, name: str, task: type[Detector | Segmenter]) -> None:
        super().__init__()
        self.info.name = name
        self._task = task

    def create(self, param: NoParam | None = None) -> Any:
        return self._task(param)


class ParamFactory(dataprocess.CTaskParamFactory):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def create(self) -> NoParam:
        return NoParam()


_chain_numbers = count(1)


def chain(*names: str) -> tuple[Workflow, list[Any]]:
    """A workflow of tasks one behind the other, connected by the host itself."""
    # A name of its own: runs of one name and second share a folder.
    workflow = Workflow(f"Chain {next(_chain_numbers)}")
    tasks = [workflow.add_task(name=name, auto_connect=True) for name in names]
    for task in tasks:
        if task.name == PLUGIN_NAME:
            task.set_parameters({"model_name": "sam2_demo_nano"})
    return workflow, tasks


def instances(task: Any) -> list[tuple[str, list[int], bytes]]:
    """Class name, colour and pixels of each."""
    return [
        (found.label, list(found.color[:3]), np.packbits(found.mask > 0).tobytes())
        for found in task.get_output(1).get_objects()
    ]
