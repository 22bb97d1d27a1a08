"""Workflows of Ikomia's own tasks and ours: what others feed us, and what they make of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ikomia import core
from ikomia.dataprocess.workflow import Workflow

from tests.conftest import PLUGIN_NAME
from tests.in_ikomia.chains import (
    COLOURS,
    DETECTOR_NAME,
    FACE,
    FILTER_NAME,
    ROCKET,
    SEGMENTER_NAME,
    chain,
    instances,
)

pytestmark = [pytest.mark.ikomia, pytest.mark.usefixtures("others_are_known")]


class TestDetectorBeforeUs:
    def test_each_detection_is_an_instance_with_its_class_and_colour(
        self, photo: np.ndarray
    ) -> None:
        workflow, (_, task) = chain(DETECTOR_NAME, PLUGIN_NAME)
        workflow.run_on(array=photo)
        assert [found[:2] for found in instances(task)] == [
            (ROCKET, COLOURS[ROCKET]),
            (FACE, COLOURS[FACE]),
        ]
        records = task.get_output(5).data["masks"]
        assert [record["category"] for record in records] == [ROCKET, FACE]
        assert [record["prompt"]["box"] for record in records] == [
            [82.5, 4.25, 122.5, 94.75],
            [38.0, 8.0, 73.0, 48.0],
        ]

    def test_finding_nothing_asks_for_nothing_rather_than_everything(
        self, photo: np.ndarray
    ) -> None:
        workflow, (_, task) = chain(DETECTOR_NAME, PLUGIN_NAME)
        workflow.run_on(array=np.zeros_like(photo))
        assert task.get_output(1).get_object_count() == 0
        assert task.get_output(5).data["masks"] == []
        assert task.get_output(5).data["filter_counts"] is None
        assert "Nothing was prompted" in task.get_output(5).data["summary"]
        workflow.run_on(array=photo)
        assert task.get_output(1).get_object_count() == 2

    def test_texts_that_come_with_the_boxes_prompt_nothing(self, photo: np.ndarray) -> None:
        workflow, (_, task) = chain(DETECTOR_NAME, PLUGIN_NAME)
        workflow.run_on(array=photo)
        kinds = [item.get_type() for item in task.get_input(1).get_items()]
        assert kinds.count(core.GraphicsItem.TEXT) == 2
        prompts = [record["prompt"] for record in task.get_output(5).data["masks"]]
        assert [prompt["points"] for prompt in prompts] == [[], []]

    def test_masks_are_painted_in_the_colour_of_their_class(self, photo: np.ndarray) -> None:
        workflow, (_, task) = chain(DETECTOR_NAME, PLUGIN_NAME)
        workflow.run_on(array=photo)
        labels_hw = task.get_output(4).get_image()
        layer_hwc = task.get_output(0).get_overlay_mask()
        over = [
            task.get_image_with_mask(),
            task.get_output(0).get_image_with_mask(task.get_output(4)),
        ]
        for index, name in enumerate((ROCKET, FACE), start=1):
            assert np.unique(layer_hwc[labels_hw == index], axis=0).tolist() == [
                [*COLOURS[name], 255]
            ]
            for painted_hwc in over:  # outlines are solid
                assert (painted_hwc[labels_hw == index] == COLOURS[name]).all(axis=-1).any()

    def test_masks_are_those_of_the_same_boxes_as_text(self, photo: np.ndarray) -> None:
        workflow, (_, task) = chain(DETECTOR_NAME, PLUGIN_NAME)
        workflow.run_on(array=photo)
        alone, (typed,) = chain(PLUGIN_NAME)
        typed.set_parameters({"input_box": [[82.5, 4.25, 122.5, 94.75], [38.0, 8.0, 73.0, 48.0]]})
        alone.run_on(array=photo)
        assert [found[2] for found in instances(task)] == [found[2] for found in instances(typed)]


class TestInstancesBeforeUs:
    def test_their_boxes_and_classes_are_taken(self, photo: np.ndarray) -> None:
        # A second network refines what a first one found: rectangles, polygons and texts arrive.
        workflow, (_, first, second) = chain(DETECTOR_NAME, PLUGIN_NAME, PLUGIN_NAME)
        workflow.run_on(array=photo)
        assert [found[:2] for found in instances(second)] == [
            found[:2] for found in instances(first)
        ]
        boxes = [found.box for found in first.get_output(1).get_objects()]
        prompts = [record["prompt"]["box"] for record in second.get_output(5).data["masks"]]
        assert prompts == [[x, y, x + width, y + height] for x, y, width, height in boxes]

    def test_their_merged_masks_are_not_taken_for_a_mask_prompt(self, photo: np.ndarray) -> None:
        # The host connects them to our third input: all objects in one picture of labels.
        workflow, (segments, task) = chain(SEGMENTER_NAME, PLUGIN_NAME)
        workflow.run_on(array=photo)
        assert task.get_input(2).is_data_available()
        found = task.get_output(1).get_objects()
        assert len(found) == len(segments.get_output(1).get_objects()) == 2


class TestFilterBehindUs:
    @pytest.mark.parametrize(
        ("categories", "kept"),
        [
            pytest.param("all", [ROCKET, FACE], id="all"),
            pytest.param(FACE, [FACE], id="one class"),
            pytest.param("submarine", [], id="none"),
        ],
    )
    def test_keeps_our_instances_by_class(
        self, photo: np.ndarray, categories: str, kept: list[str]
    ) -> None:
        workflow, (_, ours, theirs) = chain(DETECTOR_NAME, PLUGIN_NAME, FILTER_NAME)
        theirs.set_parameters({"categories": categories, "confidence": "0.0"})
        workflow.run_on(array=photo)
        assert instances(theirs) == [found for found in instances(ours) if found[0] in kept]
        assert len(instances(theirs)) == len(kept)
        assert np.array_equal(theirs.get_output(0).get_image(), photo)

    def test_keeps_our_instances_by_confidence(self, photo: np.ndarray) -> None:
        workflow, (_, ours, theirs) = chain(DETECTOR_NAME, PLUGIN_NAME, FILTER_NAME)
        workflow.run_on(array=photo)
        better, worse = sorted(
            (found.confidence for found in ours.get_output(1).get_objects()), reverse=True
        )
        theirs.set_parameters({"confidence": str((better + worse) / 2)})
        workflow.run_on(array=photo)
        assert [found.confidence for found in theirs.get_output(1).get_objects()] == [better]


class TestLabelsBehindUs:
    def test_are_the_markers_of_a_watershed(self, photo: np.ndarray) -> None:
        workflow, (_, ours) = chain(DETECTOR_NAME, PLUGIN_NAME)
        watershed = workflow.add_task(name="ocv_watershed")
        workflow.connect_tasks(ours, watershed, [(0, 0), (4, 1)])
        workflow.run_on(array=photo)
        markers_hw = ours.get_output(4).get_image()
        basins_hw = watershed.get_output(0).get_image()
        assert set(np.unique(markers_hw)) == {0, 1, 2}
        inside = (markers_hw > 0) & (basins_hw >= 0)  # it draws its borders as -1
        assert inside.any() and np.array_equal(basins_hw[inside], markers_hw[inside])


class TestSavedWorkflow:
    def test_gives_the_same_result_when_loaded(self, photo: np.ndarray, tmp_path: Path) -> None:
        workflow, (_, ours, theirs) = chain(DETECTOR_NAME, PLUGIN_NAME, FILTER_NAME)
        ours.set_parameters({"multimask_output": True, "mask_threshold": -0.5})
        theirs.set_parameters({"confidence": "0.1"})
        workflow.run_on(array=photo)
        workflow.save(str(tmp_path / "chain.json"))
        loaded = Workflow()
        loaded.load(str(tmp_path / "chain.json"))
        loaded.run_on(array=photo)
        again = loaded.find_task(PLUGIN_NAME)[0]
        assert instances(again) == instances(ours) != []
        assert again.get_output(5).data == ours.get_output(5).data
        assert instances(loaded.find_task(FILTER_NAME)[0]) == instances(theirs)
