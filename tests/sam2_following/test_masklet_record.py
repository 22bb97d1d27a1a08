"""What is kept of followed videos, and which file it goes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_following.frame_following import (
    Followed,
    VideoFrame,
    VideoState,
    follow,
)
from infer_segment_anything_2.sam2_following.masklet_record import MaskletRecord
from infer_segment_anything_2.segmentation import Segmenter

HW = (64, 96)
BOX = ObjectPrompt(box_xyxy_px=(10.0, 10.0, 40.0, 40.0), category="cart")


@pytest.fixture(scope="module")
def two_frames() -> list[Followed]:
    segmenter, state, found = Segmenter(asks_again=False), VideoState(), []
    for number in range(2):
        pixels = np.full((*HW, 3), 50, np.uint8)
        pixels[10:40, 10 + 3 * number : 40 + 3 * number] = (220, 180, 60)
        frame = VideoFrame(pixels, (BOX,))
        found.append(follow(segmenter, state, frame, Parameters(model_name="sam2_demo_nano")))
        state = found[-1].state
    return found


def read(path: Path | None) -> dict[str, Any]:
    assert path is not None
    content: dict[str, Any] = json.loads(path.read_text())
    return content


class TestMaskletRecord:
    def test_writes_the_masks_of_all_frames(
        self, two_frames: list[Followed], tmp_path: Path
    ) -> None:
        record = MaskletRecord()
        record.begin("/videos/yard.mp4", str(tmp_path), HW)
        for number, one in enumerate(two_frames):
            record.add(number, one)
        content = read(record.write())
        assert content["video_id"] == "yard" and content["masklet_category"] == ["cart"]
        assert content["video_frame_count"] == 2
        for (coded,), one in zip(content["masklet"], two_frames, strict=True):
            assert np.array_equal(coco_masks.decode(coded), one.tracked.masks.to_dense()[0])
        assert record.write() is None  # nothing new

    def test_takes_a_frame_that_is_run_again_for_the_one_before(
        self, two_frames: list[Followed], tmp_path: Path
    ) -> None:
        record = MaskletRecord()
        record.begin("a.mp4", str(tmp_path), HW)
        for one in two_frames:
            record.add(0, one)
        content = read(record.write())
        assert content["video_frame_count"] == 1
        decoded = coco_masks.decode(content["masklet"][0][0])
        assert np.array_equal(decoded, two_frames[1].tracked.masks.to_dense()[0])

    def test_gives_two_videos_of_one_name_two_files(
        self, two_frames: list[Followed], tmp_path: Path
    ) -> None:
        record, written = MaskletRecord(), []
        for source in ("/one/a.mp4", "/two/a.mp4", "/one/a.mp4"):
            record.begin(source, str(tmp_path), HW)
            record.add(0, two_frames[0])
            written.append(record.write())
        names = [path.name for path in written if path]
        assert names == ["a_masklets.json", "a-2_masklets.json", "a_masklets.json"]

    def test_keeps_nothing_unless_asked(self, two_frames: list[Followed]) -> None:
        record = MaskletRecord()
        record.begin("a.mp4", "", HW)
        record.add(0, two_frames[0])
        assert record.write() is None

    def test_may_be_written_again_where_it_failed(
        self, two_frames: list[Followed], tmp_path: Path
    ) -> None:
        record, folder = MaskletRecord(), tmp_path / "later"
        folder.touch()  # a file where a folder is wanted
        record.begin("a.mp4", str(folder), HW)
        record.add(0, two_frames[0])
        with pytest.raises(ExportError):
            record.write()
        folder.unlink()
        folder.mkdir()
        assert read(record.write())["video_frame_count"] == 1
