"""A preset in a real Ikomia: what was given counts, also in a saved workflow."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import PLUGIN_NAME

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
SMALL = {"points_per_batch": 1024, "cuda": False}


def points_used(workflow: Any, task: Any) -> int:
    """How many points a run asked at, along a side."""
    workflow.run_on(array=PHOTO)
    points: int = task.get_output(5).data["filter_counts"]["points"]
    return math.isqrt(points)


class TestPreset:
    def test_acts_when_set_alone(self, new_workflow: NewWorkflow) -> None:
        workflow, task = new_workflow(preset="fast", **SMALL)
        assert points_used(workflow, task) == 16

    def test_leaves_a_default_that_was_given(
        self, new_workflow: NewWorkflow, tmp_path: Path
    ) -> None:
        from ikomia.dataprocess.workflow import Workflow

        workflow, task = new_workflow(preset="fast", points_per_side=32, **SMALL)
        task.set_parameters({"iou_thresh": 0.5})
        assert points_used(workflow, task) == 32
        workflow.save(str(tmp_path / "workflow.json"))
        loaded = Workflow()
        loaded.load(str(tmp_path / "workflow.json"))
        (again,) = loaded.find_task(PLUGIN_NAME)
        assert points_used(loaded, again) == 32

    def test_acts_at_creation(self, ikomia_home: Path) -> None:
        from ikomia.dataprocess.workflow import Workflow

        task = Workflow().add_task(name=PLUGIN_NAME, params={"preset": "fast"})
        assert task.get_param_object().values.with_preset().points_per_side == 16
