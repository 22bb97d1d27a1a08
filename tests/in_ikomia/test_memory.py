"""Memory is given back: with the last task that uses a model, and between the runs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.soak import verdict
from tests.conftest import PLUGIN_NAME, REPOSITORY

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia


@pytest.fixture
def own(tmp_path: Path) -> dict[str, object]:
    """Parameters of a model that no other test's task shares: the demo weights in another file."""
    demo = REPOSITORY / PLUGIN_NAME / "demo_model" / "sam2_demo_nano.pt"
    weights = torch.load(demo, weights_only=True)
    torch.save({**weights, "saved for": str(tmp_path)}, tmp_path / "own.pt")
    return {"model_path": str(tmp_path / "own.pt")}


def model_of(task: Any) -> Any:
    return task._segmenter.load(task.get_param_object().values).model


class TestModel:
    def test_goes_with_the_last_task_that_uses_it(
        self, new_workflow: NewWorkflow, photo: np.ndarray, own: dict[str, object]
    ) -> None:
        first_workflow, first = new_workflow(**own, input_point=[60, 30])
        second_workflow, second = new_workflow(**own, input_box=[10, 10, 90, 90])
        first_workflow.run_on(array=photo)
        second_workflow.run_on(array=photo)
        model = weakref.ref(model_of(first))
        weights = weakref.ref(next(model_of(first).network.parameters()))
        assert model() is model_of(second)
        del first, first_workflow
        gc.collect()
        assert model() is not None
        del second, second_workflow
        gc.collect()
        assert model() is None and weights() is None

    def test_goes_when_its_task_is_taken_out_of_the_workflow(
        self, new_workflow: NewWorkflow, photo: np.ndarray, own: dict[str, object]
    ) -> None:
        workflow, task = new_workflow(**own, input_point=[60, 30])
        workflow.run_on(array=photo)
        model = weakref.ref(model_of(task))
        workflow.remove_task(task)
        del task
        gc.collect()
        assert model() is None

    @pytest.mark.parametrize("how", ["stopped", "failed"])
    def test_goes_also_after_a_run_that_came_to_nothing(
        self, new_workflow: NewWorkflow, photo: np.ndarray, own: dict[str, object], how: str
    ) -> None:
        workflow, task = new_workflow(**own, points_per_side=4)
        workflow.init_long_process()
        model = weakref.ref(model_of(task))
        if how == "stopped":
            task.emit_step_progress = task.stop
            workflow.run_on(array=photo)
            del task.emit_step_progress
        else:
            task.set_parameters({"input_box": [9000, 9000, 9100, 9100]})
            with pytest.raises(RuntimeError, match="lies outside the picture"):
                workflow.run_on(array=photo)
        del task, workflow
        gc.collect()
        assert model() is None


class TestResults:
    def test_of_a_run_go_with_the_next(self, new_workflow: NewWorkflow, photo: np.ndarray) -> None:
        workflow, task = new_workflow(input_point=[60, 30])
        workflow.run_on(array=photo)
        masks = weakref.ref(task.get_output(1).masks)
        workflow.run_on(array=photo)
        gc.collect()
        assert masks() is None


class TestSoakVerdict:
    def test_a_little_in_each_run_is_a_leak(self) -> None:
        is_flat, told = verdict([500 + 0.5 * run for run in range(200)])
        assert not is_flat
        assert told.startswith("NOT FLAT: 543.5 MB in the middle runs, 581.0 MB in the last ones")

    def test_a_warm_up_and_a_large_picture_are_none(self) -> None:
        memory_mb = [500 + min(run, 40) * 10.0 for run in range(200)]
        memory_mb[150] += 300
        assert verdict(memory_mb)[0]
