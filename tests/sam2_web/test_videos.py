"""Videos on the page's server: any frame, masks that are those of ``track``; over real HTTP."""

from __future__ import annotations

import ast
import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.parameters import Parameters, stringify
from infer_segment_anything_2.request import objects_of
from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_following.asked_objects import in_time
from infer_segment_anything_2.sam2_reading.video_files import VideoFile
from tests.sam2_web.conftest import CLIP_HW, N_FRAMES, Page, ask, end_page, start_page, unpacked
from tests.sam2_web.test_texts import set_parameters_of

BROKEN, CLIP = "/api/videos/0", "/api/videos/1"
DISC = {"id": 1, "frame": 1, "box": [14, 18, 46, 46], "category": "it's a disc"}
LATER = {"id": 2, "frame": 2, "points": [[64.5, 50]], "labels": [1]}
CORRECTION = {"id": 1, "frame": 4, "points": [[38, 34], [5, 90]], "labels": [1, 0]}
ALL = [DISC, LATER, CORRECTION]


def masks(
    page: Page, frame: int, objects: object, reach: str = "all", **given: object
) -> tuple[int, bytes]:
    body = {
        "parameters": {"input_objects": objects, **given},
        "job": f"frame {frame}",
        "reach": reach,
    }
    status, packed, _ = ask(page, f"{CLIP}/frames/{frame}/masks", body)
    return status, packed


def head_of(packed: bytes) -> dict[str, Any]:
    return unpacked(packed, CLIP_HW)[0]


def texts_of(page: Page, objects: object) -> dict[str, str]:
    status, said, _ = ask(page, f"{CLIP}/texts", {"parameters": {"input_objects": objects}})
    assert status == 200
    texts: dict[str, str] = json.loads(said)
    return texts


class TestFrames:
    def test_are_those_of_the_video_in_any_order(self, page: Page) -> None:
        status, said, _ = ask(page, f"{CLIP}/")
        facts = json.loads(said)
        assert (status, facts["width"], facts["height"]) == (200, *CLIP_HW[::-1])
        assert (facts["name"], facts["frames"]) == ("clip.mp4", N_FRAMES)
        frames = list(VideoFile(str(page.folder / "clip.mp4")).frames())
        for number in (3, 0, 5, 4):
            path = f"{CLIP}/frames/{number}/part?box=10,20,110,90"
            with Image.open(io.BytesIO(ask(page, path)[1])) as jpeg:
                shown = np.asarray(jpeg).astype(int)
            errors = [np.abs(shown - frame.image_rgb_hwc[20:90, 10:110]).mean() for frame in frames]
            assert int(np.argmin(errors)) == number

    def test_of_a_broken_video_are_told_of_and_the_others_go_on(self, page: Page) -> None:
        status, said, _ = ask(page, f"{BROKEN}/")
        assert (status, "cannot be opened" in json.loads(said)["error"]) == (422, True)
        assert ask(page, f"{CLIP}/")[0] == 200


class TestMasks:
    def test_are_those_that_the_copied_command_tracks(self, page: Page, tmp_path: Path) -> None:
        words = shlex.split(texts_of(page, ALL)["command"])[1:]
        assert words[:2] == ["track", str(page.folder / "clip.mp4")]
        assert main([*words, "--no-cuda", "--quiet", "--out", str(tmp_path)]) == 0
        content = json.loads((tmp_path / "clip_masklets.json").read_text())
        assert content["masklet_id"] == [1, 2]
        some = 0
        for frame, tracked in enumerate(content["masklet"]):
            status, packed = masks(page, frame, ALL)
            assert status == 200
            head, rles = unpacked(packed, CLIP_HW)
            shown = [mask["track"] for mask in head["ranks"][0]] if head["ranks"] else []
            assert len(rles) == len(shown)
            for number, rle in zip(content["masklet_id"], tracked, strict=True):
                ours = [
                    mask.to_coco() for mask, one in zip(rles, shown, strict=True) if one == number
                ]
                assert ours == ([rle] if ours else [])
                some += len(ours)
            prompted = {one["id"] for one in head["tracks"] if one["state"] == "prompted"}
            assert prompted == {one["id"] for one in ALL if one["frame"] == frame}
        assert some > N_FRAMES  # both objects, or nothing was compared

    def test_copied_parameters_mean_the_same_prompts(self, page: Page) -> None:
        given = set_parameters_of(texts_of(page, ALL)["python"])
        read = Parameters.from_strings(stringify(given))
        prompts = in_time(objects_of(read, CLIP_HW)[0], read.prompt_frame)
        assert [(one.frame, one.track_id) for one in prompts] == [(1, 1), (2, 2), (4, 1)]
        assert prompts[0].category == DISC["category"]
        assert prompts[2].labels == (1, 0)
        ast.parse(texts_of(page, ALL)["python"])

    def test_seen_ones_are_there_at_once_and_a_correction_leaves_those_before_it(
        self, page: Page
    ) -> None:
        asked = [DISC, {**LATER, "points": [[66, 52]]}]
        assert masks(page, 4, asked, "kept") == (204, b"")
        followed = [masks(page, frame, asked)[1] for frame in range(N_FRAMES)]
        assert [masks(page, n, asked, "kept")[1] for n in range(N_FRAMES)] == followed
        corrected = [*asked, CORRECTION]
        assert [masks(page, n, corrected, "kept")[0] for n in range(N_FRAMES)] == [200] * 4 + [
            204
        ] * 2
        status, packed = masks(page, 4, corrected, "near")  # the state before is still there
        assert (status, head_of(packed)["alone"]) == (200, False)
        assert masks(page, 4, asked, "kept")[1] == followed[4]  # as after an undo

    def test_a_name_changes_no_mask(self, page: Page) -> None:
        packed = masks(page, 2, [DISC])[1]
        assert masks(page, 2, [{**DISC, "category": "plate"}], "kept")[1] == packed

    def test_far_from_what_was_followed_a_frame_is_asked_alone(self, page: Page) -> None:
        asked = [{**DISC, "box": [15, 19, 45, 45]}, CORRECTION]
        head = head_of(masks(page, 4, asked, "near")[1])
        assert head["alone"]
        assert [one["state"] for one in head["tracks"]] == ["prompted"]
        assert masks(page, 4, asked, "kept")[0] == 204  # that was no answer to keep
        assert not head_of(masks(page, 4, asked)[1])["alone"]

    def test_settings_count(self, page: Page) -> None:
        assert masks(page, 3, ALL)[0] == 200
        assert masks(page, 3, ALL, "kept", max_objects=1)[0] == 204
        notes = head_of(masks(page, 2, ALL, max_objects=1)[1])["notes"]
        assert "max_objects" in " ".join(notes)

    def test_before_the_first_prompt_there_are_none(self, page: Page) -> None:
        head = head_of(masks(page, 0, ALL)[1])
        assert (head["ranks"], head["tracks"]) == ([], [])
        assert head_of(masks(page, 3, [])[1])["ranks"] == []

    def test_a_stop_ends_the_run(self, page: Page) -> None:
        assert ask(page, "/api/jobs/frame%205", method="DELETE")[0] == 200
        status, said = masks(page, 5, [{**DISC, "frame": 0}])
        assert (status, json.loads(said)["stopped"]) == (409, True)
        assert masks(page, 0, [{**DISC, "frame": 0}])[0] == 200


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("frame", "parameters", "key", "words"),
        [
            (6, {"input_objects": ALL}, "", "0 to 5"),
            (0, {"input_objects": [{**DISC, "frame": 6}]}, "input_objects", "frame 6"),
            (0, {"input_objects": [{**DISC, "box": [900, 900, 950, 950]}]}, "input_objects", "900"),
            (0, {"input_objects": [DISC, DISC]}, "input_objects", "id 1"),
            (0, {"iou_thresh": 0.5}, "iou_thresh", "not set for a video"),
            (0, {"model_path": "/etc/passwd"}, "model_path", "--model-path"),
            (0, {"memory_rule": "all"}, "memory_rule", "confident"),
        ],
    )
    def test_parameter_is_named(
        self, page: Page, frame: int, parameters: dict[str, object], key: str, words: str
    ) -> None:
        body = {"parameters": parameters, "job": "w"}
        status, said, _ = ask(page, f"{CLIP}/frames/{frame}/masks", body)
        told = json.loads(said)
        assert (status, told["key"]) == (422, key)
        assert words in told["error"]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/api/videos/2/", None),
            (f"{CLIP}/frames/0/part?box=0,0,9", None),
            (f"{CLIP}/frames/0/part?box=0,0,9,999", None),
            (f"{CLIP}/frames/99/part?box=0,0,9,9", None),
            (f"{CLIP}/frames/0/masks", []),
            (f"{CLIP}/frames/0/masks", {"reach": "far"}),
            (f"{CLIP}/texts", {"parameters": 3}),
        ],
    )
    def test_odd_requests_are_answered_in_words(self, page: Page, path: str, body: object) -> None:
        status, said, _ = ask(page, path, body)
        assert status == 422
        assert json.loads(said)["error"]

    def test_nobody_without_the_token(self, page: Page) -> None:
        none = {"x-page-token": ""}
        assert ask(page, f"{CLIP}/", headers=none)[0] == 401
        assert ask(page, f"{CLIP}/frames/0/part?box=0,0,9,9", headers=none)[0] == 401
        assert ask(page, f"{CLIP}/frames/0/masks", {}, headers=none)[0] == 401


class TestFolderOfFrames:
    def test_is_one_video_and_what_was_prompted_is_remembered(self, tmp_path: Path) -> None:
        frames = tmp_path / "frames"
        frames.mkdir()
        for number in (1, 2, 10):
            Image.new("RGB", (64, 48), (number, 0, 0)).save(frames / f"{number}.png")
        own = start_page(frames, tmp_path / "out", "--as-video")
        try:
            assert json.loads(ask(own, "/api/session")[1])["pictures"] == []
            kept = {"objects": [], "frame": 2, "done": True}
            ask(own, "/api/videos/0/remembered", kept, method="PUT")
            facts = json.loads(ask(own, "/api/videos/0/")[1])
            assert (facts["name"], facts["frames"], facts["remembered"]) == ("frames", 3, kept)
            texts = json.loads(ask(own, "/api/videos/0/texts", {"parameters": {}})[1])
            assert texts["command"].startswith(f"infer-segment-anything-2 track {frames}")
            assert texts["python"].startswith("# Ikomia follows objects through video files")
        finally:
            assert "Traceback" not in end_page(own)
