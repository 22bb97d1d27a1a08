"""Frames of a video by their numbers, in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_reading.video_files import VideoFile
from infer_segment_anything_2.sam2_web import frame_shelf
from infer_segment_anything_2.sam2_web.frame_shelf import FrameShelf
from tests.video_clips import packets_of, write_clip
from tests.videos import clip as drawn_frames

N_FRAMES = 12


@pytest.fixture(scope="module", params=["mp4", "mkv"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey frames, each brighter; an MKV does not say how many there are."""
    frames = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(N_FRAMES)]
    return write_clip(tmp_path_factory.mktemp("clips") / f"clip.{request.param}", frames)


def seen(shelf: FrameShelf, number: int) -> int:
    return round(float(shelf.frame(number).mean()) / 20)


def test_come_in_any_order_and_are_counted(clip: Path) -> None:
    shelf = FrameShelf(VideoFile(str(clip)))
    assert (shelf.count, shelf.image_hw, shelf.notes) == (N_FRAMES, (48, 64), ())
    order = [7, 8, 2, 11, 0, 9, 3]
    assert [seen(shelf, number) for number in order] == order
    with pytest.raises(ImageError, match="no frame 12"):
        shelf.frame(N_FRAMES)
    assert seen(shelf, 5) == 5
    with pytest.raises(ValueError, match="read-only"):
        shelf.frame(5)[0, 0] = 0


def test_memory_is_bounded(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_shelf, "_KEPT_BYTES", 3 * 48 * 64 * 3)
    shelf = FrameShelf(VideoFile(str(clip)))
    order = [*range(N_FRAMES), 10, 4]
    assert [seen(shelf, number) for number in order] == order
    assert len(shelf._kept) == 3
    assert len(shelf._readers) <= 2


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_damaged_frame_is_told_and_those_before_are_there(ending: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / f"whole{ending}", drawn_frames(8))
    content = bytearray(clip.read_bytes())
    begin, size = packets_of(clip)[6]
    content[begin + 8 : begin + size] = b"\x55" * (size - 8)
    damaged = tmp_path / f"damaged{ending}"
    damaged.write_bytes(content)
    shelf = FrameShelf(VideoFile(str(damaged)))
    with pytest.raises(ImageError, match="frame 6"):
        shelf.frame(7)
    assert shelf.frame(5).shape == (96, 128, 3)
    if ending == ".mkv":  # which was read through to be counted
        assert shelf.count == 6
        assert "frame 6" in shelf.notes[0]
