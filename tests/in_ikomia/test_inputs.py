"""The mask input and drawn polygons in a real Ikomia workflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from skimage import data

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia

EVERYTHING = {"points_per_side": 4, "iou_thresh": 0.0, "stability_score_thresh": 0.0}


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[::4, ::4])


class TestMaskInput:
    def test_is_not_filled_by_a_picture_source(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(**EVERYTHING)
        workflow.run_on(array=photo)
        assert not task.get_input(2).is_data_available()
        assert "16 points" in task.get_output(5).data["summary"]

    def test_prompts_an_object(self, new_workflow: NewWorkflow, photo: np.ndarray) -> None:
        workflow, task = new_workflow()
        mask = np.zeros((64, 64), np.uint8)
        mask[5:25, 22:34] = 255
        task.get_input(2).set_image(mask)
        workflow.run_on(array=photo)
        (record,) = task.get_output(5).data["masks"]
        assert record["prompt"]["mask"]["size"] == [64, 64]
        assert task.get_output(1).get_object_count() == 1


class TestDrawnPolygon:
    def test_is_where_everything_is_searched_for(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        from ikomia import core

        workflow, task = new_workflow(**EVERYTHING)
        corners = [(0, 0), (64, 0), (64, 128), (0, 128)]
        polygon = core.CGraphicsPolygon([core.CPointF(x, y) for x, y in corners])
        task.get_input(1).set_items([polygon])
        workflow.run_on(array=photo)
        data_of_run = task.get_output(5).data
        assert "8 points" in data_of_run["summary"]
        assert all(record["point_coords"][0][0] < 64 for record in data_of_run["masks"])
