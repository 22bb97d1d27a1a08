"""Videos and folders through workflows of Ikomia's own tasks and ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ikomia.dataprocess.workflow import Workflow
from PIL import Image
from pycocotools import mask as coco

from infer_segment_anything_2.sam2_host.outputs import LabelPictureIO, PictureIO
from tests.conftest import PLUGIN_NAME
from tests.in_ikomia.chains import COLOURS, DETECTOR_NAME, FACE, FILTER_NAME, chain, instances

pytestmark = [pytest.mark.ikomia, pytest.mark.usefixtures("others_are_known")]


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
