"""Frames of videos: forwards, backwards, upright, at their times, and damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_reading import video_files
from infer_segment_anything_2.sam2_reading.video_files import ClipFrame, FrameFolder, VideoFile
from tests.video_clips import packets_of, turned, write_clip
from training.opencv import cv2

N_FRAMES = 8
HW = (48, 64)
UNEVEN_MS = (0, 10, 50, 60, 200, 220, 300, 780)


def pictures() -> list[np.ndarray]:
    """Frames that can be told apart: each has its number as its grey, and a corner that is red."""
    frames = [np.full((*HW, 3), 20 + 25 * number, np.uint8) for number in range(N_FRAMES)]
    for frame in frames:
        frame[:16, :16] = (230, 20, 20)
    return frames


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", pictures())


def numbers_seen(frames: list[ClipFrame]) -> list[int]:
    return [round((float(frame.image_rgb_hwc[-8:].mean()) - 20) / 25) for frame in frames]


class TestReading:
    def test_every_frame_comes_once_and_in_order(self, clip: Path) -> None:
        frames = list(VideoFile(str(clip)).frames())
        assert [frame.number for frame in frames] == list(range(N_FRAMES))
        assert numbers_seen(frames) == list(range(N_FRAMES))
        assert frames[0].image_rgb_hwc.shape == (*HW, 3)

    def test_red_is_red(self, clip: Path) -> None:
        red, green, blue = next(VideoFile(str(clip)).frames()).image_rgb_hwc[4, 4]
        assert red > 180
        assert max(green, blue) < 80

    def test_uneven_times_are_those_of_the_file(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "uneven.mp4", pictures(), times_ms=UNEVEN_MS)
        times_s = [frame.time_s for frame in VideoFile(str(clip)).frames()]
        assert times_s == pytest.approx([time / 1000 for time in UNEVEN_MS])

    def test_a_phone_s_video_stands_upright(self, clip: Path) -> None:
        turned_clip = turned(clip, HW[0])
        ours = next(VideoFile(str(turned_clip)).frames()).image_rgb_hwc
        is_read, theirs_bgr = cv2.VideoCapture(str(turned_clip)).read()
        assert is_read
        assert ours.shape == (HW[1], HW[0], 3)
        assert np.abs(ours.astype(int) - theirs_bgr[..., ::-1]).max() <= 2

    def test_it_says_how_many_frames_there_are(self, clip: Path) -> None:
        video = VideoFile(str(clip))
        assert video.stated_count == N_FRAMES
        assert not video.is_live


class TestBackwards:
    @pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
    def test_gives_the_same_frames_in_reverse(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        video = VideoFile(str(write_clip(tmp_path / name, pictures(), codec=codec)))
        # Three frames fit: stretches begin at frames without a place to begin decoding, too.
        monkeypatch.setattr(video_files, "_KEPT_BYTES", 3 * HW[0] * HW[1] * 3)
        forwards = list(video.frames())[:7]
        backwards = list(video.frames_backwards(6))
        assert [frame.number for frame in backwards] == [6, 5, 4, 3, 2, 1, 0]
        for one, other in zip(forwards, reversed(backwards), strict=True):
            assert one.time_s == other.time_s
            assert np.array_equal(one.image_rgb_hwc, other.image_rgb_hwc)

    def test_holds_no_more_frames_than_fit(
        self, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(video_files, "_KEPT_BYTES", 3 * HW[0] * HW[1] * 3)
        stretches: list[int] = []
        between = VideoFile._between

        def counted(self: VideoFile, first: int, stop: int, line: object) -> object:
            stretches.append(stop - first)
            return between(self, first, stop, line)  # type: ignore[arg-type]

        monkeypatch.setattr(VideoFile, "_between", counted)
        assert len(list(VideoFile(str(clip)).frames_backwards(N_FRAMES - 1))) == N_FRAMES
        assert stretches == [3, 3, 2]

    def test_a_frame_that_is_not_there_is_named(self, clip: Path) -> None:
        with pytest.raises(ImageError, match=r"no frame 8, expected one of 0 to 7"):
            next(VideoFile(str(clip)).frames_backwards(N_FRAMES))


class TestDamage:
    def test_a_damaged_frame_is_named_and_those_before_are_given(self, clip: Path) -> None:
        content = bytearray(clip.read_bytes())
        begin, size = packets_of(clip)[4]  # decoding can begin here, so those before are whole
        content[begin + 8 : begin + size] = b"\x55" * (size - 8)
        clip.write_bytes(content)
        frames: list[ClipFrame] = []
        with pytest.raises(ImageError, match="cannot be read at frame 4"):
            _collect(VideoFile(str(clip)), frames)
        assert numbers_seen(frames) == [0, 1, 2, 3]

    def test_a_file_that_was_cut_off_is_named(self, clip: Path) -> None:
        begin, _ = packets_of(clip)[6]
        clip.write_bytes(clip.read_bytes()[:begin])
        frames: list[ClipFrame] = []
        with pytest.raises(ImageError, match=r"at frame 6, .* says that it has 8 frames"):
            _collect(VideoFile(str(clip)), frames)
        assert numbers_seen(frames) == [0, 1, 2, 3, 4, 5]

    def test_what_is_no_video_is_said_to_be_none(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        path.write_text("hello")
        with pytest.raises(ImageError, match=r"cannot be opened, expected a video file such as"):
            VideoFile(str(path))


def _collect(video: VideoFile, into: list[ClipFrame]) -> None:
    for frame in video.frames():
        into.append(frame)  # those before an error count


class TestFolder:
    def test_frames_come_in_the_given_order_at_the_given_rate(self, tmp_path: Path) -> None:
        files = []
        for number, picture in enumerate(pictures()):
            files.append(tmp_path / f"{number}.png")
            Image.fromarray(picture).save(files[-1])
        folder = FrameFolder("frames", files, 10.0)
        frames = list(folder.frames())
        assert numbers_seen(frames) == list(range(N_FRAMES))
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(N_FRAMES) / 10)
        assert numbers_seen(list(folder.frames_backwards(2))) == [2, 1, 0]

    def test_a_frame_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        good, bad = tmp_path / "0.png", tmp_path / "1.png"
        Image.fromarray(pictures()[0]).save(good)
        bad.write_bytes(good.read_bytes()[:60])
        with pytest.raises(ImageError, match=r"Frame 1 of frames: The picture .*1\.png cannot be"):
            list(FrameFolder("frames", [good, bad], 10.0).frames())
