"""Objects followed through videos in a real Ikomia: who is who, what is said, what is saved.

The memory of the bundled network decides how well objects are followed; here it is asked how the
frames, prompts, ids and outputs of a video go together.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import PLUGIN_NAME
from tests.in_ikomia.chains import DETECTOR_NAME, chain

pytestmark = [pytest.mark.ikomia, pytest.mark.usefixtures("others_are_known")]

HW = (96, 128)
DISC_PX = 16
N_FRAMES = 5


def frame(number: int, hw: tuple[int, int] = HW) -> np.ndarray:
    """Two discs on grey: a yellow one that goes right, and a blue one that stays."""
    picture = np.full((*hw, 3), 60, np.uint8)
    y, x = np.mgrid[: hw[0], : hw[1]]
    picture[np.hypot(y - 30, x - 30 - 4 * number) < DISC_PX] = (230, 200, 60)
    picture[np.hypot(y - 66, x - 96) < DISC_PX] = (40, 80, 220)
    return picture


def boxes(number: int) -> list[list[int]]:
    return [[14 + 4 * number, 14, 46 + 4 * number, 46], [80, 50, 112, 82]]


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares that come one after the other; the detector of `chains` sees the brightest only."""
    import cv2

    path = tmp_path_factory.mktemp("clips") / "moving.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (128, 96))
    picture = np.zeros((96, 128, 3), np.uint8)
    for left, top in ((8, 8), (56, 40), (104, 72)):
        picture[picture > 0] = 150  # those before stay where they are
        picture[top : top + 16, left : left + 16] = 255
        writer.write(picture)
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clips") / "a.avi")


def write(path: Path, n_frames: int = N_FRAMES, hw: tuple[int, int] = HW) -> Path:
    import cv2  # comes with Ikomia, once that is imported

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, hw[::-1])
    for number in range(n_frames):
        writer.write(frame(number, hw)[..., ::-1])
    writer.release()
    return path


class Watched:
    """A workflow whose records of every frame are kept: the host itself keeps the last only."""

    def __init__(self, workflow: Any, task: Any) -> None:
        self.workflow, self.task = workflow, task

    def on(self, **source: Any) -> list[dict[str, Any]]:
        output = self.task.get_output(5)
        records: list[dict[str, Any]] = []

        def show(data: dict[str, Any]) -> None:
            records.append(data)
            output.data = data

        output.show = show
        self.workflow.run_on(**source)
        return records


@pytest.fixture
def watched(new_workflow: Callable[..., tuple[Any, Any]]) -> Callable[..., Watched]:
    def make(**parameters: object) -> Watched:
        return Watched(*new_workflow(**parameters))

    return make


def seen(records: dict[str, Any]) -> dict[int, str]:
    """The state of each object of a frame by its id."""
    everyone = [*records["masks"], *records["absent"]]
    return {one["track_id"]: one["state"] for one in everyone}


class TestWhatIsPromptedInAVideo:
    def test_is_followed_under_one_id_through_all_frames(
        self, watched: Callable[..., Watched], clip: Path
    ) -> None:
        video = watched(input_box=boxes(0))
        records = video.on(path=str(clip))
        assert [one["frame_index"] for one in records] == list(range(N_FRAMES))
        assert seen(records[0]) == {1: "prompted", 2: "prompted"}
        for later in records[1:]:
            assert set(seen(later)) == {1, 2}
            assert "prompted" not in seen(later).values()
        assert records == video.on(path=str(clip))  # the second video starts clean

    def test_may_name_its_frame_and_its_object(
        self, watched: Callable[..., Watched], clip: Path
    ) -> None:
        entries = [
            {"box": boxes(1)[0], "frame": 1, "id": 7, "category": "sun"},
            {"box": boxes(3)[0], "frame": 3, "id": 7},
            {"box": boxes(3)[1], "frame": 3},
        ]
        records = watched(input_objects=json.dumps(entries)).on(path=str(clip))
        assert [set(seen(one)) for one in records] == [set(), {7}, {7}, {7, 8}, {7, 8}]
        assert seen(records[3]) == {7: "prompted", 8: "prompted"}
        assert {one["category"] for one in records[3]["masks"] if one["track_id"] == 7} == {"sun"}

    def test_waits_for_the_prompted_frame(
        self, watched: Callable[..., Watched], clip: Path
    ) -> None:
        records = watched(input_box=boxes(2)[0], prompt_frame=2).on(path=str(clip))
        assert [seen(one).get(1) for one in records][:3] == [None, None, "prompted"]

    def test_shows_its_id_as_label_and_in_its_name(
        self, watched: Callable[..., Watched], clip: Path
    ) -> None:
        entries = [{"box": boxes(N_FRAMES - 1)[1], "frame": N_FRAMES - 1, "id": 300}]
        video = watched(input_objects=json.dumps(entries))
        video.on(path=str(clip))
        (shown,) = video.task.get_output(1).get_objects()
        assert shown.label == "object #300"
        assert set(np.unique(video.task.get_output(4).get_image())) == {0, 300}


class TestModes:
    def test_frames_is_as_it_was(self, watched: Callable[..., Watched], clip: Path) -> None:
        records = watched(input_box=boxes(0), video_mode="frames").on(path=str(clip))
        assert all("frame_index" not in one and len(one["masks"]) == 2 for one in records)

    def test_auto_leaves_pictures_alone(self, watched: Callable[..., Watched]) -> None:
        video = watched(input_box=boxes(0))
        assert "frame_index" not in video.on(array=frame(0))[0]

    def test_track_follows_pictures_that_come_one_by_one(
        self, watched: Callable[..., Watched]
    ) -> None:
        video = watched(input_box=boxes(0), video_mode="track")
        numbers = [video.on(array=frame(k))[0]["frame_index"] for k in (0, 1, 1, 2)]
        assert numbers == [0, 1, 1, 2]  # the same picture again is the same frame
        assert video.on(array=frame(0, (80, 128)))[0]["frame_index"] == 0

    def test_track_without_prompts_follows_what_the_first_frame_holds(
        self, watched: Callable[..., Watched], clip: Path
    ) -> None:
        loose = {"iou_thresh": 0, "stability_score_thresh": 0, "points_per_side": 3}
        records = watched(video_mode="track", max_objects=3, **loose).on(path=str(clip))
        assert [set(seen(one)) for one in records] == [{1, 2, 3}] * N_FRAMES


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        ("entries", "words"),
        [
            ([{"box": boxes(0)[0], "frame": 99}], "the video has 5 frames"),
            ([{"box": boxes(0)[0], "id": 1}, {"box": boxes(0)[1], "id": 1}], "with the id 1"),
            ([{"box": [500, 500, 600, 600]}], "outside"),
        ],
    )
    def test_is_said_and_the_next_run_is_clean(
        self,
        watched: Callable[..., Watched],
        clip: Path,
        entries: list[dict[str, Any]],
        words: str,
    ) -> None:
        video = watched(input_objects=json.dumps(entries))
        with pytest.raises(RuntimeError, match=words):
            video.on(path=str(clip))
        video.task.set_parameters({"input_objects": json.dumps([{"box": boxes(0)[0]}])})
        assert len(video.on(path=str(clip))) == N_FRAMES

    @pytest.mark.parametrize(("key", "value"), [("frame", -1), ("frame", 1.5), ("id", 0)])
    def test_odd_numbers_are_refused_when_they_are_set(
        self, new_workflow: Callable[..., tuple[Any, Any]], key: str, value: object
    ) -> None:
        with pytest.raises(ValueError, match=f"{key} as a whole number"):
            new_workflow(input_objects=json.dumps([{"box": [1, 2, 30, 40], key: value}]))

    def test_too_many_objects_are_left_out_with_a_word(
        self,
        watched: Callable[..., Watched],
        clip: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.INFO, "ikomia.infer_segment_anything_2"):
            records = watched(input_box=boxes(0), max_objects=1).on(path=str(clip))
        assert [set(seen(one)) for one in records] == [{1}] * N_FRAMES
        assert "raise max_objects" in caplog.text
        infos = [
            line
            for line in caplog.records
            if line.levelno == logging.INFO and line.name == "ikomia.infer_segment_anything_2"
        ]
        assert len(infos) == 2  # the video's beginning and its end


class TestDetectors:
    def chain(self, **parameters: object) -> tuple[Any, Any]:
        workflow, (_, ours) = chain(DETECTOR_NAME, PLUGIN_NAME)
        ours.set_parameters({"model_name": "sam2_demo_nano", **parameters})
        return workflow, ours

    @pytest.mark.parametrize(
        ("rule", "every", "expected"),
        [
            ("first", 1, [{1}, {1}, {1}]),
            ("unmatched", 1, [{1}, {1, 2}, {1, 2, 3}]),
            ("unmatched", 2, [{1}, {1}, {1, 2}]),
        ],
    )
    def test_add_what_fits_no_tracked_object(
        self, moving: Path, rule: str, every: int, expected: list[set[int]]
    ) -> None:
        workflow, ours = self.chain(
            video_mode="track", new_objects=rule, redetect_every=every, match_iou=1.0
        )
        records = Watched(workflow, ours).on(path=str(moving))
        assert [set(seen(one)) for one in records] == expected

    def test_correct_what_they_fit(self, moving: Path) -> None:
        workflow, ours = self.chain(
            video_mode="track", new_objects="every", redetect_every=1, match_iou=0.0
        )
        records = Watched(workflow, ours).on(path=str(moving))
        assert all(set(seen(one)) == {1} for one in records)

    def test_count_on_every_frame_as_they_did_where_nobody_asked_to_track(
        self, moving: Path
    ) -> None:
        workflow, ours = self.chain()
        records = Watched(workflow, ours).on(path=str(moving))
        assert all("frame_index" not in one and len(one["masks"]) == 1 for one in records)


class TestSavedVideo:
    def test_shows_the_masks(
        self, new_workflow: Callable[..., tuple[Any, Any]], clip: Path
    ) -> None:
        import cv2

        workflow, task = new_workflow(input_box=boxes(0))
        workflow.set_auto_save(True)
        workflow.run_on(path=str(clip))
        (saved,) = Path(task.output_folder).glob("*.mp4")
        reader = cv2.VideoCapture(str(saved))
        is_read, shown_bgr = reader.read()
        reader.release()
        assert is_read
        plain_bgr = frame(0)[..., ::-1].astype(int)
        assert np.abs(shown_bgr[30, 30] - plain_bgr[30, 30]).max() > 40  # on the first object
        assert np.abs(shown_bgr[5, 5] - plain_bgr[5, 5]).max() < 20


class TestMaskletFolder:
    def test_holds_the_masks_of_all_frames_behind_the_last(
        self, watched: Callable[..., Watched], clip: Path, tmp_path: Path
    ) -> None:
        video = watched(input_box=boxes(0), masklet_folder=str(tmp_path / "masks"))
        records = video.on(path=str(clip))
        (path,) = (tmp_path / "masks").iterdir()
        content = json.loads(path.read_text())
        assert path.name == "a_masklets.json"
        assert content["video_frame_count"] == N_FRAMES and content["masklet_id"] == [1, 2]
        sizes = [[one["area"] for one in frame["masks"]] for frame in records]
        assert [len(one) for one in content["masklet_presence"]] == [2] * N_FRAMES
        assert all(map(any, sizes))

    def test_holds_what_was_followed_until_a_stop(
        self, new_workflow: Callable[..., tuple[Any, Any]], tmp_path: Path
    ) -> None:
        workflow, task = new_workflow(
            input_box=boxes(0), video_mode="track", masklet_folder=str(tmp_path)
        )
        for number in range(2):
            workflow.run_on(array=frame(number))
        assert not list(tmp_path.iterdir())
        task.stop()
        (path,) = tmp_path.iterdir()
        assert json.loads(path.read_text())["video_frame_count"] == 2

    def test_is_asked_for_before_the_first_frame(
        self, watched: Callable[..., Watched], clip: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        video = watched(input_box=boxes(0), masklet_folder=str(tmp_path / "file"))
        with pytest.raises(Exception, match="masklet_folder cannot be used"):
            video.on(path=str(clip))


class TestFasterWays:
    def test_pass_over_frames_and_see_less(
        self, watched: Callable[..., Watched], clip: Path
    ) -> None:
        records = watched(input_box=boxes(0), frame_step=2, track_size="256").on(path=str(clip))
        assert len(records) == N_FRAMES
        first, second = ([one["segmentation"] for one in records[n]["masks"]] for n in (0, 1))
        assert first == second
        assert set(seen(records[-1])) == {1, 2}
