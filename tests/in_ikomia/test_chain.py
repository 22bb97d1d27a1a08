"""Workflows of Ikomia's own tasks and ours: what others feed us, and what they make of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ikomia import core, dataprocess
from ikomia.dataprocess.registry import ik_registry
from ikomia.dataprocess.workflow import Workflow
from PIL import Image
from pycocotools import mask as coco
from skimage import data

from infer_segment_anything_2.sam2_host.graphics import _chosen_colour
from infer_segment_anything_2.sam2_host.outputs import LabelPictureIO, PictureIO
from tests.conftest import PLUGIN_NAME

pytestmark = pytest.mark.ikomia

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


@pytest.fixture(scope="module", autouse=True)
def others_are_known(ikomia_home: Path) -> None:
    for name, task in ((DETECTOR_NAME, Detector), (SEGMENTER_NAME, Segmenter)):
        ik_registry.register_task(Factory(name, task), ParamFactory(name))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[::4, ::4])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames, in which a bright rectangle moves to the right."""
    import cv2

    path = tmp_path_factory.mktemp("video") / "moving.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (128, 96))
    for left in (16, 48, 80):
        frame_hwc = np.zeros((96, 128, 3), np.uint8)
        frame_hwc[32:64, left : left + 32] = 255
        writer.write(frame_hwc)
    writer.release()
    return path


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


class TestDrawnColour:
    def test_a_pen_that_nobody_chose_has_none(self) -> None:
        assert _chosen_colour(core.CGraphicsRectangle(1, 2, 3, 4).property.pen_color) is None

    def test_a_chosen_pen_has(self) -> None:
        look = core.GraphicsRectProperty()
        look.pen_color = [1, 2, 3, 255]
        drawn = core.CGraphicsRectangle(1, 2, 3, 4, look)
        assert _chosen_colour(drawn.property.pen_color) == (1, 2, 3)

    def test_rectangles_of_no_colour_get_colours_of_their_own(self, photo: np.ndarray) -> None:
        workflow, (task,) = chain(PLUGIN_NAME)
        drawn = [core.CGraphicsRectangle(10, 10, 60, 60), core.CGraphicsRectangle(50, 50, 60, 60)]
        task.get_input(1).set_items(drawn)
        workflow.run_on(array=photo)
        colours = [colour for _, colour, _ in instances(task)]
        assert len(colours) == 2 and colours[0] != colours[1]


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


class TestVideo:
    @pytest.fixture
    def finished(self, video: Path) -> Iterator[tuple[Workflow, Any]]:
        workflow, (_, ours) = chain(DETECTOR_NAME, PLUGIN_NAME)
        workflow.set_auto_save(True)
        workflow.run_on(path=str(video))
        yield workflow, ours

    def test_every_frame_has_its_own_masks_on_disk(self, finished: tuple[Workflow, Any]) -> None:
        _, ours = finished
        folder = Path(ours.output_folder)
        saved = json.loads((folder / "Records_5.json").read_text(encoding="utf-8"))
        assert len(saved) == 3
        for left, frame in zip((16, 48, 80), saved, strict=True):
            box = frame["masks"][0]["prompt"]["box"]
            assert box == pytest.approx([left, 32, left + 32, 64], abs=2)  # MJPG blurs a little
            mask_hw = coco.decode(frame["masks"][0]["segmentation"])
            assert mask_hw[34:62, left + 2 : left + 30].mean() > 0.5
        masks = json.loads((folder / "Masks_1.json").read_text(encoding="utf-8"))
        assert [frame["detections"][0]["label"] for frame in masks] == [FACE] * 3

    def test_the_pictures_are_saved_as_a_video_and_the_labels_not(
        self, finished: tuple[Workflow, Any]
    ) -> None:
        _, ours = finished
        videos = [path for path in Path(ours.output_folder).iterdir() if path.suffix == ".mp4"]
        assert [path.stat().st_size > 0 for path in videos] == [True]

    def test_the_last_frame_can_be_painted(self, finished: tuple[Workflow, Any]) -> None:
        _, ours = finished
        frame_hwc = ours.get_output(0).get_image()
        painted_hwc = ours.get_image_with_mask()
        labels_hw = ours.get_output(4).get_image()
        assert np.array_equal(painted_hwc[labels_hw == 0], frame_hwc[labels_hw == 0])
        assert (painted_hwc[labels_hw == 1] == COLOURS[FACE]).all(axis=-1).any()
        assert ours.get_image_with_mask_and_graphics().shape == frame_hwc.shape

    def test_outputs_keep_their_names(self, finished: tuple[Workflow, Any]) -> None:
        _, ours = finished
        names = [output.name for output in ours.get_outputs()]
        assert names == ["Picture", "Masks", "Masks, rank 2", "Masks, rank 3", "Labels", "Records"]

    def test_pictures_after_it_are_as_before(
        self, finished: tuple[Workflow, Any], photo: np.ndarray
    ) -> None:
        workflow, ours = finished
        workflow.run_on(array=photo)
        fresh, (_, other) = chain(DETECTOR_NAME, PLUGIN_NAME)
        fresh.run_on(array=photo)
        assert isinstance(ours.get_output(0), PictureIO)
        assert isinstance(ours.get_output(4), LabelPictureIO)
        assert instances(ours) == instances(other)
        assert np.array_equal(ours.get_image_with_mask(), other.get_image_with_mask())
        assert np.array_equal(ours.get_output(4).get_image(), other.get_output(4).get_image())
        names = [output.name for output in ours.get_outputs()]
        assert names == [output.name for output in other.get_outputs()]

    def test_pictures_after_it_are_saved_with_their_labels(
        self, finished: tuple[Workflow, Any], photo: np.ndarray, tmp_path: Path
    ) -> None:
        workflow, _ = finished
        Image.fromarray(photo).save(tmp_path / "picture.png")
        workflow.run_on(path=str(tmp_path / "picture.png"))
        saved = [path.name for path in Path(workflow.get_last_run_folder()).rglob("*.png")]
        assert sorted(name for name in saved if PLUGIN_NAME in name) == [
            f"{PLUGIN_NAME}picture.png",
            f"{PLUGIN_NAME}picture_labels.png",
        ]


class TestFolder:
    def test_every_picture_goes_through_the_whole_chain(
        self, photo: np.ndarray, tmp_path: Path
    ) -> None:
        for name, image_hwc in (("first", photo), ("second", np.ascontiguousarray(photo[:, ::-1]))):
            Image.fromarray(image_hwc).save(tmp_path / f"{name}.png")
        workflow, (_, _, theirs) = chain(DETECTOR_NAME, PLUGIN_NAME, FILTER_NAME)
        theirs.set_parameters({"categories": FACE, "confidence": "0.0"})
        workflow.run_on(folder=str(tmp_path))
        folder = Path(workflow.get_last_run_folder())
        assert {path.name for path in folder.iterdir()} >= {
            f"{PLUGIN_NAME}{picture}{ending}"
            for picture in ("first", "second")
            for ending in (".png", ".json", "_labels.png", "_records.json")
        }
        for picture in ("first", "second"):
            saved = json.loads((folder / f"{FILTER_NAME}{picture}.json").read_text("utf-8"))
            assert [found["label"] for found in saved["detections"]] == [FACE]
