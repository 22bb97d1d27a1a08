"""``track`` from end to end, with the network that comes with the plugin."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch import track_run
from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_batch.track_folder import TRACKED_NAME, TrackFolder
from infer_segment_anything_2.sam2_batch.track_formats import TRACK_FORMATS
from infer_segment_anything_2.sam2_batch.video_finding import FoundVideo, find_video
from infer_segment_anything_2.sam2_following.frame_following import follow
from tests.video_clips import packets_of, write_clip
from tests.videos import clip as drawn_frames
from training.opencv import cv2

N_FRAMES = 6
HW = (96, 128)
BOX = ("--box", "12,16,44,44")
LATER = {"box": [40, 36, 75, 68], "frame": 4, "id": 7, "category": "disc"}


def track(*words: str | Path) -> int:
    return main(["track", *map(str, words), "--model-name", "sam2_demo_nano", "--no-cuda"])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", drawn_frames(N_FRAMES, *HW))


@pytest.fixture(scope="module")
def results(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All formats of one run: a box on frame 2, an object from a file on frame 4, both ways."""
    out = tmp_path_factory.mktemp("results")
    (out / "objects.json").write_text(json.dumps([LATER]))
    flags = (
        *BOX,
        *("--prompt-frame", "2", "--both-ways"),
        *("--objects", f"@{out / 'objects.json'}"),
        *("--format", ",".join(TRACK_FORMATS)),
    )
    assert track(clip, *flags, "--out", out) == 0
    return out


def boxes(out: Path) -> list[dict[str, str]]:
    with (out / "clip_boxes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class TestOneRun:
    def test_leaves_a_file_of_each_format(self, results: Path) -> None:
        made = {file.name + ("/" if file.is_dir() else "") for file in results.iterdir()}
        endings = {f"clip{kind.ending}" for kind in TRACK_FORMATS.values()}
        assert made == {*endings, "objects.json", TRACKED_NAME}

    def test_objects_are_prompted_on_their_frames_and_looked_for_on_all(
        self, results: Path
    ) -> None:
        rows = boxes(results)
        assert {(row["frame"], row["object_id"]) for row in rows} == {
            (str(frame), number) for frame in range(N_FRAMES) for number in ("1", "7")
        }
        prompted = [(row["frame"], row["object_id"]) for row in rows if row["state"] == "prompted"]
        assert prompted == [("2", "1"), ("4", "7")]
        assert {row["category"] for row in rows if row["object_id"] == "7"} == {"disc"}

    def test_all_formats_hold_the_same_masks(self, results: Path) -> None:
        content = json.loads((results / "clip_masklets.json").read_text())
        video = json.loads((results / "clip_coco_video.json").read_text())
        first, second = video["annotations"]
        for frame, rles in enumerate(content["masklet"]):
            masks = [
                coco_mask.decode({**rle, "counts": rle["counts"].encode()}).astype(bool)
                for rle in rles
            ]
            for rle, annotation in zip(rles, (first, second), strict=True):
                other = annotation["segmentations"][frame]
                assert other is None or other == rle
            with Image.open(results / "clip_davis" / f"{frame:05d}.png") as picture:
                ids_hw = np.asarray(picture)
            assert np.array_equal(ids_hw > 0, np.any(masks, axis=0))
        assert content["masklet_id"] == [1, 7]

    def test_the_overlay_shows_every_frame(self, results: Path, clip: Path) -> None:
        painted = cv2.VideoCapture(str(results / "clip_overlay.mp4"))
        plain = cv2.VideoCapture(str(clip))
        differences = []
        for _ in range(N_FRAMES):
            is_painted, one = painted.read()
            is_plain, other = plain.read()
            assert is_painted
            assert is_plain
            differences.append(np.abs(one.astype(int) - other).max())
        assert not painted.read()[0]
        assert differences[2] > 60  # where there is a mask for certain: the prompted frame

    def test_the_same_command_does_nothing_more(
        self, results: Path, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = {file: file.stat().st_mtime_ns for file in results.iterdir()}
        flags = (*BOX, "--prompt-frame", "2", "--both-ways")
        objects = ("--objects", f"@{results / 'objects.json'}")
        assert track(clip, *flags, *objects, "--format", "mots,csv", "--out", results) == 0
        assert "was done before" in capsys.readouterr().out
        assert {file: file.stat().st_mtime_ns for file in results.iterdir()} == before

    def test_other_prompts_are_refused(
        self, results: Path, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert track(clip, "--box", "1,1,9,9", "--out", results) == 2
        assert "other prompts or settings" in capsys.readouterr().err


class TestDirections:
    def test_forwards_only_nothing_is_looked_for_before_the_prompt(
        self, clip: Path, tmp_path: Path, results: Path
    ) -> None:
        flags = (*BOX, "--prompt-frame", "2", "--format", "csv,masklets")
        assert track(clip, *flags, "--out", tmp_path) == 0
        assert {row["frame"] for row in boxes(tmp_path)} == {"2", "3", "4", "5"}
        # What comes later, and the other direction, change nothing.
        alone = [rles[0] for rles in json.loads(_text(tmp_path))["masklet"]][2:]
        among = [rles[0] for rles in json.loads(_text(results))["masklet"]][2:]
        assert alone == among


def _text(out: Path) -> str:
    return (out / "clip_masklets.json").read_text()


class TestTrouble:
    def test_a_damaged_frame_is_told_and_those_before_are_kept(
        self, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        damaged = tmp_path / "clip.mp4"
        content = bytearray(clip.read_bytes())
        begin, size = packets_of(clip)[4]
        content[begin + 8 : begin + size] = b"\x55" * (size - 8)
        damaged.write_bytes(content)
        flags = (*BOX, "--format", "csv,davis,overlay", "--out", tmp_path / "out")
        assert track(damaged, *flags) == 1
        said = capsys.readouterr().err
        assert "cannot be read at frame 4" in said
        assert "hold the 4 frames before" in said
        assert {row["frame"] for row in boxes(tmp_path / "out")} == {"0", "1", "2", "3"}
        assert len(list((tmp_path / "out" / "clip_davis").iterdir())) == 4
        assert cv2.VideoCapture(str(tmp_path / "out" / "clip_overlay.mp4")).read()[0]
        # It does not count as done.
        assert track(damaged, *flags) == 1

    def test_a_stop_keeps_what_was_done_and_the_next_run_starts_anew(
        self,
        clip: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:

        def stopping(segmenter, state, frame, parameters):  # type: ignore[no-untyped-def]
            if state.frame == 2:
                raise KeyboardInterrupt
            return follow(segmenter, state, frame, parameters)

        monkeypatch.setattr(track_run, "follow", stopping)
        flags = (*BOX, "--format", "csv", "--out", tmp_path, "--frames", "3")
        assert track(clip, *flags) == 130
        assert "Stopped at frame 2" in capsys.readouterr().err
        assert {row["frame"] for row in boxes(tmp_path)} == {"0", "1"}
        monkeypatch.setattr(track_run, "follow", follow)
        assert track(clip, *flags) == 0
        assert {row["frame"] for row in boxes(tmp_path)} == {"0", "1", "2"}

    def test_a_prompt_behind_the_end_is_refused(
        self, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert track(clip, *BOX, "--prompt-frame", "6", "--out", tmp_path) == 2
        assert "a prompt for frame 6" in capsys.readouterr().err
        assert not (tmp_path / "clip_masklets.json").exists()

    def test_an_id_that_the_format_cannot_hold_is_refused_at_once(
        self, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        objects = json.dumps([{"box": [12, 16, 44, 44], "id": 256}])
        assert track(clip, "--objects", objects, "--format", "davis", "--out", tmp_path) != 0
        assert "ids from 1 to 255, got 256" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("no_such.mp4", *BOX), "There is no video 'no_such.mp4'"),
            (("CLIP",), "Nothing is prompted"),
            (("CLIP", *BOX, "--format", "daviss"), "did you mean davis?"),
            (("CLIP", *BOX, "--fps", "0"), "expected a number above 0"),
            (("CLIP", *BOX, "--frames", "none"), "expected a whole number from 1 on"),
            (("CLIP", "--box", "1,2,3"), "expected numbers such as"),
        ],
    )
    def test_a_wrong_call_says_so_before_anything_is_loaded(
        self,
        words: tuple[str, ...],
        said: str,
        clip: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        named = [str(clip) if word == "CLIP" else word for word in words]
        assert track(*named, "--out", tmp_path / "out") == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestFolder:
    """What is remembered of a video, without tracking one."""

    def folder(self, out: Path, *formats: str, box: str = "1,1,9,9") -> TrackFolder:
        return TrackFolder(out, formats, {"input_box": box}, 0.5)

    def done(self, folder: TrackFolder, found: FoundVideo) -> None:
        folder.begin(found)
        for path in folder.paths_of(found).values():
            path.write_text("")
        folder.finish(found, HW)

    def test_a_further_format_leaves_the_others_done(self, clip: Path, tmp_path: Path) -> None:
        found = find_video(str(clip), 25.0)
        self.done(self.folder(tmp_path, "csv"), found)
        self.done(self.folder(tmp_path, "mots"), found)
        assert self.folder(tmp_path, "csv", "mots").has(found)
        assert not self.folder(tmp_path, "csv", "masklets").has(found)

    def test_results_of_other_settings_are_removed(self, clip: Path, tmp_path: Path) -> None:
        found = find_video(str(clip), 25.0)
        self.done(self.folder(tmp_path, "csv"), found)
        self.done(self.folder(tmp_path, "mots", box="2,2,9,9"), found)  # as with --overwrite
        assert not (tmp_path / "clip_boxes.csv").exists()
        assert (tmp_path / "clip_mots.txt").exists()

    def test_a_missing_file_and_another_content_are_not_done(
        self, clip: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "clip.mp4"
        copy.write_bytes(clip.read_bytes())
        folder = self.folder(tmp_path / "out", "csv")
        self.done(folder, find_video(str(copy), 25.0))
        assert folder.has(find_video(str(copy), 25.0))
        write_clip(copy, drawn_frames(N_FRAMES, *HW)[::-1])
        assert not folder.has(find_video(str(copy), 25.0))
        copy.write_bytes(clip.read_bytes())
        (tmp_path / "out" / "clip_boxes.csv").unlink()
        assert not folder.has(find_video(str(copy), 25.0))

    def test_two_videos_of_one_name_have_results_of_two(self, clip: Path, tmp_path: Path) -> None:
        other = tmp_path / "clip.mp4"
        other.write_bytes(clip.read_bytes())
        folder = self.folder(tmp_path / "out", "csv")
        for path in (clip, other):
            self.done(folder, find_video(str(path), 25.0))
        assert {file.name for file in (tmp_path / "out").glob("*.csv")} == {
            "clip_boxes.csv",
            "clip_2_boxes.csv",
        }


class TestFinding:
    def test_a_folder_s_frames_come_as_people_count(self, tmp_path: Path) -> None:
        for number in (10, 2, 1):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"f{number}.png")
        (tmp_path / "notes.txt").write_text("no frame")
        found = find_video(str(tmp_path), 10.0)
        greys = [int(frame.image_rgb_hwc[0, 0, 0]) for frame in found.video.frames()]
        assert greys == [1, 2, 10]
        assert found.name == tmp_path.name

    def test_another_frame_is_another_video(self, tmp_path: Path) -> None:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "0.png")
        before = find_video(str(tmp_path), 10.0).frames_digest
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "1.png")
        assert find_video(str(tmp_path), 10.0).frames_digest != before

    def test_a_folder_without_frames_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="holds no frame"):
            find_video(str(tmp_path), 10.0)
