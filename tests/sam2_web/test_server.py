"""What the page's server lets in, and what it says to what is wrong; over real HTTP."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_reading.picture_files import read_picture
from infer_segment_anything_2.segmentation import Segmenter
from tests.conftest import REPOSITORY
from tests.sam2_web.conftest import MODEL, PAGE, Page, ask, end_page, start_page, unpacked

CUP = {"points": [[150, 75]], "labels": [1]}


class TestWhoIsLetIn:
    def test_page_itself_without_a_token_but_no_picture(self, page: Page) -> None:
        none = {"x-page-token": ""}
        status, html, headers = ask(page, "/", headers=none)
        assert (status, b"<canvas" in html) == (200, True)
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["server"] is None
        assert ask(page, "/static/app.js", headers=none)[0] == 200
        for path in ("/api/session", "/api/pictures/0", "/api/pictures/0/part?box=0,0,9,9"):
            status, said, _ = ask(page, path, headers=none)
            assert (status, "address that was printed" in said.decode()) == (401, True)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"host": "evil.example"}, 400),
            ({"host": "127.0.0.1:1"}, 400),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"x-page-token": "guessed"}, 401),
            ({"content-length": "99999999999"}, 413),
        ],
    )
    def test_nobody_else(self, page: Page, headers: dict[str, str], status: int) -> None:
        assert ask(page, "/api/session", headers=headers)[0] == status
        assert ask(page, "/api/session")[0] == 200

    def test_no_file_but_the_pages_own(self, page: Page) -> None:
        for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd"):
            assert ask(page, path)[0] == 404


class TestRuns:
    def test_give_the_masks_of_a_run_with_these_parameters(self, page: Page) -> None:
        given = {"input_objects": [CUP], "multimask_output": True}
        _, packed, _ = ask(page, "/api/pictures/0/segment", {"parameters": given, "job": "a"})
        head, rles = unpacked(packed, (200, 300))
        picture = read_picture(page.folder / "a cup.png")
        parameters = Parameters(
            model_name="sam2_demo_nano",
            input_objects=json.dumps([CUP]),
            multimask_output=True,
        )
        expected = Segmenter().segment(picture, parameters)
        assert rles == [masks.rles[0] for masks in expected.ranked]
        areas = [masks[0]["area"] for masks in head["ranks"]]
        assert areas == [masks.rles[0].area_px for masks in expected.ranked]

    def test_everything_tells_what_each_filter_dropped(self, page: Page) -> None:
        given = {"iou_thresh": 0.0, "stability_score_thresh": 0.0}
        body = {"parameters": given, "job": "b"}
        head, rles = unpacked(ask(page, "/api/pictures/1/segment", body)[1], (128, 128))
        assert head["proposed"] == 3 * 6 * 6  # of the command's --points-per-side
        assert len(rles) == head["proposed"] - sum(head["lostTo"].values()) > 0

    def test_hint_tells_what_to_change_when_nothing_is_shown(self, page: Page) -> None:
        given = {"iou_thresh": 1.0, "stability_score_thresh": 0.0}
        body = {"parameters": given, "job": "g"}
        assert unpacked(ask(page, "/api/pictures/1/segment", body)[1], (128, 128))[1] == []
        status, said, _ = ask(page, "/api/pictures/1/hint", body)
        hint = json.loads(said)
        assert (status, hint["values"].keys()) == (200, {"iou_thresh"})
        seen = {"parameters": {**given, **hint["values"]}, "job": "h"}
        _, rles = unpacked(ask(page, "/api/pictures/1/segment", seen)[1], (128, 128))
        assert hint["words"].endswith(f"to see {len(rles)} mask{'s' * (len(rles) != 1)}.")
        # Nothing is searched for: of other settings there is nothing to tell.
        never = {"parameters": {**given, "points_per_side": 31}}
        assert json.loads(ask(page, "/api/pictures/1/hint", never)[1]) == {}
        assert json.loads(ask(page, "/api/pictures/1/hint", seen)[1]) == {}

    def test_stop_before_they_begin(self, page: Page) -> None:
        assert ask(page, "/api/jobs/c", method="DELETE")[0] == 200
        body = {"parameters": {"points_per_side": 33}, "job": "c"}
        status, said, _ = ask(page, "/api/pictures/1/segment", body)
        assert (status, json.loads(said)["stopped"]) == (409, True)


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("parameters", "key", "words"),
        [
            ({"iou_thresh": 2}, "iou_thresh", "0 to 1"),
            ({"no_such": 2}, "no_such", "There is no parameter"),
            ({"input_objects": [{"points": [[900, 900]]}]}, "input_objects", "900"),
            ({"model_path": "/etc/passwd"}, "model_path", "--model-path"),
        ],
    )
    def test_parameter_is_named(
        self, page: Page, parameters: dict[str, object], key: str, words: str
    ) -> None:
        body = {"parameters": parameters, "job": "d"}
        status, said, _ = ask(page, "/api/pictures/0/segment", body)
        told = json.loads(said)
        assert (status, told["key"]) == (422, key)
        assert words in told["error"]

    def test_broken_picture_is_told_of_and_the_others_go_on(self, page: Page) -> None:
        status, said, _ = ask(page, "/api/pictures/2")
        assert status == 422
        assert "picture" in json.loads(said)["error"]
        assert ask(page, "/api/pictures/0")[0] == 200

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/api/pictures/9", None),
            ("/api/pictures/0/part?box=0,0,9", None),
            ("/api/pictures/0/part?box=0,0,9,9999", None),
            ("/api/pictures/0/segment", []),
            ("/api/pictures/0/segment", {"parameters": 3}),
            ("/api/pictures/0/results", {"parameters": {}, "formats": ["../x"], "job": "e"}),
        ],
    )
    def test_odd_requests_are_answered_in_words(self, page: Page, path: str, body: object) -> None:
        status, said, _ = ask(page, path, body)
        assert status == 422
        assert json.loads(said)["error"]


class TestFiles:
    def test_results_are_those_of_the_command_line(self, page: Page) -> None:
        body = {
            "parameters": {"input_objects": [CUP]},
            "formats": ["labels", "csv"],
            "job": "f",
        }
        status, said, _ = ask(page, "/api/pictures/0/results", body)
        assert (status, json.loads(said)["written"]) == (200, ["a cup_labels.png", "a cup.csv"])
        with Image.open(page.out / "a cup_labels.png") as labels:
            assert set(np.unique(np.asarray(labels))) == {0, 1}

    def test_what_was_prompted_is_remembered_by_the_next_page(self, page: Page) -> None:
        kept = {"objects": [], "parameters": {"iou_thresh": 0.5}, "done": True}
        ask(page, "/api/pictures/1/remembered", kept, method="PUT")
        again = start_page(page.folder, page.out)
        try:
            assert json.loads(ask(again, "/api/pictures/1")[1])["remembered"] == kept
            pictures = json.loads(ask(again, "/api/session")[1])["pictures"]
            assert [one["done"] for one in pictures] == [False, True, False]
        finally:
            said = end_page(again)
        assert again.process.returncode in (0, 130)
        assert "Traceback" not in said


class TestCommand:
    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (["--host", "192.168.0.9"], "--let-others-in"),
            (["--let-others-in"], "--host"),
            (["--host", "0.0.0.0", "--let-others-in"], "the one address"),
            (["--port", "1", "--host", "203.0.113.1", "--let-others-in"], "cannot listen"),
        ],
    )
    def test_refuses_to_be_open_by_accident(self, page: Page, flags: list[str], words: str) -> None:
        done = subprocess.run(
            [*PAGE, str(page.folder), *MODEL, *flags],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=REPOSITORY,
        )
        assert (done.returncode, words in done.stderr) == (2, True)
