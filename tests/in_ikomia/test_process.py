"""The task in a real Ikomia workflow."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from skimage import data

from tests.conftest import PLUGIN_NAME, REPOSITORY
from tests.ikomia_namespace import ikomia_namespace

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia

# Small grids and thresholds that let the demo network's masks through: the tests are about the
# way from picture to outputs, not about the network.
EVERYTHING = {"points_per_side": 4, "iou_thresh": 0.0, "stability_score_thresh": 0.0}


class TestLoading:
    def test_imports_no_torch_sam2_or_qt_before_the_first_run(self, ikomia_home: Path) -> None:
        script = (
            "import sys, time\n"
            "from ikomia.dataprocess.workflow import Workflow\n"
            "before = set(sys.modules)\n"
            f"task = Workflow().add_task(name='{PLUGIN_NAME}', auto_connect=True)\n"
            "new = set(sys.modules) - before\n"
            "assert task is not None and any(PLUGIN in name for name in new)\n"
            "print([name for name in ('torch', 'sam2', 'PyQt6', 'hydra') if name in sys.modules])"
        ).replace("PLUGIN", repr(PLUGIN_NAME))
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
        )
        assert done.stdout.strip().splitlines()[-1] == "[]"

    def test_tells_the_hub_what_it_is(self) -> None:
        from infer_segment_anything_2 import __version__
        from infer_segment_anything_2.infer_segment_anything_2_process import (
            InferSegmentAnything2Factory,
        )

        info = InferSegmentAnything2Factory().info
        assert info.name == PLUGIN_NAME
        assert info.version == __version__
        assert info.min_ikomia_version == "0.16.0"
        assert info.license == "Apache-2.0"
        assert info.algo_tasks == "INSTANCE_SEGMENTATION"
        assert (REPOSITORY / PLUGIN_NAME / info.icon_path).is_file()
        assert info.authors and info.article and info.year == 2024 and info.keywords

    def test_passes_the_hubs_smoke_test(self, new_workflow: NewWorkflow, tmp_path: Path) -> None:
        from infer_segment_anything_2.infer_segment_anything_2_test import test as smoke_test

        picture = tmp_path / "coco.png"
        Image.fromarray(data.astronaut()[::4, ::4]).save(picture)
        _, task = new_workflow()
        parameters, verdict = smoke_test(task, {"images": {"detection": {"coco": str(picture)}}})
        assert verdict == "OK"
        assert parameters["model_name"] == "sam2_demo_nano"


class TestEverything:
    def test_fills_the_fixed_outputs(self, new_workflow: NewWorkflow, photo: np.ndarray) -> None:
        workflow, task = new_workflow(**EVERYTHING)
        workflow.run_on(array=photo)
        masks, labels, records = (task.get_output(k) for k in (1, 4, 5))
        assert masks.get_object_count() == len(records.data["masks"]) > 1
        assert labels.get_image().shape == photo.shape[:2]
        assert np.array_equal(task.get_output(0).get_image(), photo)
        assert not task.get_output(2).is_data_available()
        assert not task.get_output(3).is_data_available()
        assert "16 points, 48 masks" in records.data["summary"]

    def test_records_and_instances_agree(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(**EVERYTHING)
        workflow.run_on(array=photo)
        records = task.get_output(5).data["masks"]
        for record, instance in zip(records, task.get_output(1).get_objects(), strict=True):
            decoded = coco.decode(record["segmentation"])
            assert np.array_equal(instance.mask > 0, decoded > 0)
            assert instance.confidence == pytest.approx(record["predicted_iou"])
            assert record["area"] == decoded.sum()
            x, y, width, height = instance.box
            rows, columns = np.nonzero(decoded)
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())

    def test_finding_nothing_is_a_result(
        self, new_workflow: NewWorkflow, photo: np.ndarray, caplog: pytest.LogCaptureFixture
    ) -> None:
        workflow, task = new_workflow(points_per_side=2, iou_thresh=1.0)
        with caplog.at_level("INFO", logger="ikomia.infer_segment_anything_2"):
            workflow.run_on(array=photo)
        assert task.get_output(1).get_object_count() == 0
        assert task.get_output(5).data["masks"] == []
        assert not task.get_output(4).get_image().any()
        assert np.array_equal(task.get_image_with_mask(), photo)
        assert any("4 points, 12 masks" in message for message in caplog.messages)

    def test_bfloat16_gives_about_the_masks_of_float32(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(input_point=[60, 30])
        masks = []
        for precision in ("float32", "bfloat16"):
            task.set_parameters({"precision": precision})
            workflow.run_on(array=photo)
            results = task.get_output(5).data
            assert results["settings"]["precision"] == precision
            masks.append(results["masks"][0]["segmentation"])
        assert coco.iou([masks[0]], [masks[1]], [False])[0, 0] > 0.9

    def test_every_output_is_json(self, new_workflow: NewWorkflow, photo: np.ndarray) -> None:
        workflow, task = new_workflow(**EVERYTHING)
        workflow.run_on(array=photo)
        for index in range(task.get_output_count()):
            assert json.loads(task.get_output(index).to_json())


class TestPrompts:
    def test_three_ranked_masks_of_a_click(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(input_point=[[60, 30]], multimask_output=True)
        workflow.run_on(array=photo)
        confidences = [task.get_output(rank).get_objects()[0].confidence for rank in (1, 2, 3)]
        assert confidences == sorted(confidences, reverse=True)
        records = task.get_output(5).data["masks"]
        assert [record["rank"] for record in records] == [1, 2, 3]
        assert records[0]["prompt"] == {"points": [[60.0, 30.0]], "labels": [1], "box": None}

    def test_one_mask_unless_three_are_asked_for(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(input_point=[60, 30])
        workflow.run_on(array=photo)
        assert [task.get_output(rank).get_object_count() for rank in (1, 2, 3)] == [1, 0, 0]

    def test_every_box_is_an_object(self, new_workflow: NewWorkflow, photo: np.ndarray) -> None:
        workflow, task = new_workflow(input_box=[[10, 10, 60, 60], [50, 50, 120, 120]])
        workflow.run_on(array=photo)
        prompts = [record["prompt"]["box"] for record in task.get_output(5).data["masks"]]
        assert prompts == [[10, 10, 60, 60], [50, 50, 120, 120]]

    def test_drawn_items_are_the_same_prompts(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        from ikomia import core

        workflow, task = new_workflow(
            input_box=[10, 10, 90, 90], input_point=[20.5, 30.25], input_point_label=0
        )
        workflow.run_on(array=photo)
        typed = task.get_output(5).data["masks"][0]["segmentation"]
        task.set_parameters({"input_box": "", "input_point": "", "input_point_label": ""})
        look = core.GraphicsPointProperty()
        look.category = "negative"
        point = core.CGraphicsPoint(core.CPointF(20.5, 30.25), look)
        text = core.CGraphicsText("not a prompt", 5.0, 5.0)
        task.get_input(1).set_items([core.CGraphicsRectangle(10, 10, 80, 80), point, text])
        workflow.run_on(array=photo)
        drawn = task.get_output(5).data["masks"]
        assert len(drawn) == 1
        assert drawn[0]["prompt"] == {
            "points": [[20.5, 30.25]],
            "labels": [0],
            "box": [10.0, 10.0, 90.0, 90.0],
        }
        assert drawn[0]["segmentation"] == typed

    def test_pixels_are_the_original_pictures_at_any_input_size(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(input_box=[40, 5, 90, 60], input_size_percent=50)
        workflow.run_on(array=photo)
        record = task.get_output(5).data["masks"][0]
        assert record["segmentation"]["size"] == list(photo.shape[:2])
        assert record["prompt"]["box"] == [40, 5, 90, 60]


class TestPictures:
    @pytest.mark.parametrize(
        "picture",
        [
            pytest.param(data.coins()[:60, :80], id="grey"),
            pytest.param(data.coins()[:60, :80, None], id="grey with a channel"),
            pytest.param(data.coins()[:60, :4], id="grey, 4 wide"),
            pytest.param(np.dstack([data.astronaut()[:50, :70]] * 2)[..., :4], id="alpha"),
            pytest.param(data.coins()[:60, :80].astype(np.uint16) * 257, id="16 bit"),
            pytest.param(data.coins()[:60, :80].astype(np.float32) / 255, id="float"),
            pytest.param(np.full((40, 50), np.nan, np.float32), id="all nan"),
            pytest.param(np.zeros((1, 1, 3), np.uint8), id="one pixel"),
        ],
    )
    def test_any_kind_gives_masks_of_its_size(
        self, new_workflow: NewWorkflow, picture: np.ndarray
    ) -> None:
        workflow, task = new_workflow(**EVERYTHING)
        before = picture.copy()
        workflow.run_on(array=picture)
        assert np.array_equal(picture, before, equal_nan=picture.dtype.kind == "f")
        assert task.get_output(4).get_image().shape == picture.shape[:2]
        shown = task.get_output(0).get_image()
        assert shown.shape == (*picture.shape[:2], 3) and shown.dtype == np.uint8
        assert task.get_image_with_mask().shape == shown.shape
        assert task.get_image_with_mask_and_graphics().shape == shown.shape


class TestFolderRun:
    def test_saves_every_output_under_its_own_name(
        self, new_workflow: NewWorkflow, ikomia_home: Path, photo: np.ndarray, tmp_path: Path
    ) -> None:
        for name in ("first", "second"):
            Image.fromarray(photo).save(tmp_path / f"{name}.png")
        workflow, task = new_workflow(input_point=[60, 30], multimask_output=True)
        workflow.run_on(folder=str(tmp_path))
        newest = max((ikomia_home / "Workflows").rglob("*_records.json"), key=_modified).parent
        names = sorted(path.name for path in newest.iterdir() if path.is_file())
        assert names == sorted(
            f"{PLUGIN_NAME}{picture}{ending}"
            for picture in ("first", "second")
            for ending in (
                ".png",
                ".json",
                "_rank2.json",
                "_rank3.json",
                "_labels.png",
                "_records.json",
            )
        )
        labels = np.asarray(Image.open(newest / f"{PLUGIN_NAME}second_labels.png"))
        assert np.array_equal(labels, task.get_output(4).get_image())
        saved = json.loads((newest / f"{PLUGIN_NAME}second_records.json").read_text())
        assert saved["masks"] == task.get_output(5).data["masks"]


class TestParametersInTheHost:
    def test_survive_saving_and_loading(self, new_workflow: NewWorkflow, tmp_path: Path) -> None:
        from ikomia.dataprocess.workflow import Workflow

        workflow, task = new_workflow(
            crop_overlap_ratio=512 / 1500,
            mask_threshold=-1.5,
            input_point=[[1.25, 2]],
            iou_thres=0.88,
            use_m2m=True,
        )
        saved = dict(task.get_parameters())
        workflow.save(str(tmp_path / "workflow.json"))
        loaded = Workflow()
        loaded.load(str(tmp_path / "workflow.json"))
        assert dict(loaded.find_task(PLUGIN_NAME)[0].get_parameters()) == saved
        assert saved["crop_overlap_ratio"] == repr(512 / 1500)
        assert saved["iou_thresh"] == saved["iou_thres"] == "0.88"

    def test_ik_namespace_takes_texts(self, ikomia_home: Path) -> None:
        script = (
            "from ikomia.utils import ik\n"
            "from ikomia.dataprocess.workflow import Workflow\n"
            f"algo = ik.{PLUGIN_NAME}(points_per_side='7', iou_thres='0.5')\n"
            "task = Workflow().add_task(algo, auto_connect=True)\n"
            "found = dict(task.get_parameters())\n"
            "print(found['points_per_side'], found['iou_thresh'], found['box_nms_thresh'])\n"
        )
        with ikomia_namespace() as environment:
            done = subprocess.run(
                [sys.executable, "-c", script],
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
                env=environment,
            )
        assert done.stdout.strip().splitlines()[-1] == "7 0.5 0.7", done.stderr


class TestStop:
    def test_ends_the_run_and_leaves_the_task_usable(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(points_per_side=64, iou_thresh=0.0)
        workflow.init_long_process()
        emitted: list[int] = []
        forward = task.emit_step_progress

        def stop_at_the_first_step() -> None:
            emitted.append(1)
            if len(emitted) == 1:
                threading.Thread(target=workflow.stop).start()
            forward()

        task.emit_step_progress = stop_at_the_first_step
        with pytest.raises(RuntimeError, match="Stop workflow requested"):
            workflow.run_on(array=photo)
        assert task.get_output(1).get_object_count() == 0
        task.emit_step_progress = forward
        task.set_parameters(EVERYTHING)
        workflow.run_on(array=photo)
        assert task.get_output(1).get_object_count() > 0


def _modified(path: Path) -> float:
    return path.stat().st_mtime
