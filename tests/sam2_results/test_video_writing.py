"""Video files that are written, read back by OpenCV and PyAV; frames painted over."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.frame_pictures import paint_frame
from infer_segment_anything_2.sam2_results.video_writing import opened_video
from training.opencv import cv2

ODD_HW = (47, 63)
TIMES_S = (0.0, 0.04, 0.5, 0.51)


def grey(number: int, hw: tuple[int, int] = ODD_HW) -> np.ndarray:
    return np.full((*hw, 3), 40 + 50 * number, np.uint8)


class TestWriting:
    def test_opencv_reads_the_frames(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "clip.mp4"
        with opened_video(path) as video:
            for number, time_s in enumerate(TIMES_S):
                video.write(grey(number), time_s)
        capture = cv2.VideoCapture(str(path))
        for number in range(len(TIMES_S)):
            is_read, frame = capture.read()
            assert is_read
            assert frame.shape == (48, 64, 3)  # even sides, as the encoder needs them
            assert abs(float(frame.mean()) - (40 + 50 * number)) < 4
        assert not capture.read()[0]
        assert [file.name for file in path.parent.iterdir()] == ["clip.mp4"]

    def test_frames_keep_their_uneven_times(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        with opened_video(path) as video:
            for number, time_s in enumerate(TIMES_S):
                video.write(grey(number), time_s)
        with av.open(str(path)) as container:
            times_s = [frame.time for frame in container.decode(video=0)]
        assert times_s == pytest.approx(TIMES_S, abs=1e-4)

    def test_what_was_written_before_an_error_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        with pytest.raises(ZeroDivisionError), opened_video(path) as video:
            video.write(grey(0), 0.0)
            video.write(grey(1), 0.1)
            raise ZeroDivisionError
        with av.open(str(path)) as container:
            assert len(list(container.decode(video=0))) == 2

    def test_without_a_frame_there_is_no_file(self, tmp_path: Path) -> None:
        with opened_video(tmp_path / "clip.mp4"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_cannot_be_written_to_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with (
            pytest.raises(ExportError, match=r"Cannot write .*clip.mp4"),
            opened_video(tmp_path / "file" / "clip.mp4"),
        ):
            pass


def masks_with_ids(ids: list[int]) -> MaskSet:
    hw = (60, 80)
    blocks = []
    for place in range(len(ids)):
        mask_hw = np.zeros(hw, bool)
        mask_hw[20:40, 5 + 30 * place : 25 + 30 * place] = True
        blocks.append(mask_hw)
    n = len(ids)
    return MaskSet(
        hw,
        tuple(map(Rle.from_mask, blocks)),
        np.array([[5 + 30 * k, 20, 24 + 30 * k, 39] for k in range(n)], np.int64).reshape(-1, 4),
        np.ones(n, np.float32),
        np.ones(n, np.float32),
        np.full((n, 2), np.nan),
        np.zeros((n, 4), np.int64),
        np.array(ids, np.int64),
    )


class TestPainting:
    def test_an_object_keeps_its_colour_when_others_go(self) -> None:
        picture = np.zeros((60, 80, 3), np.uint8)
        both = paint_frame(picture, masks_with_ids([4, 2]))
        alone = paint_frame(picture, masks_with_ids([4]))
        assert both[35, 15].tolist() == alone[35, 15].tolist()
        assert both[35, 45].tolist() != both[35, 15].tolist()

    def test_its_number_stands_beside_it(self) -> None:
        picture = np.zeros((60, 80, 3), np.uint8)
        painted = paint_frame(picture, masks_with_ids([4]), {4: "dog"})
        assert painted[5:19].max() > 200
        assert picture.max() == 0

    def test_without_objects_it_is_the_frame(self) -> None:
        picture = np.full((60, 80, 3), 7, np.uint8)
        assert np.array_equal(paint_frame(picture, masks_with_ids([])), picture)
