"""What the command line says of itself, in its help and in the docs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.parameters import ROWS
from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_batch.formats import FORMATS
from infer_segment_anything_2.sam2_batch.result_folder import SETTINGS_NAME
from tests.conftest import REPOSITORY
from tests.sam2_batch.calls import POINT, segment


class TestHelp:
    def test_tells_of_every_parameter_and_exit_code(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["segment", "--help"]) == 0
        words = capsys.readouterr().out
        for row in ROWS:
            flag = "--" + row.key.replace("_", "-")
            assert bool(re.search(rf"{flag}\b", words)) == (not row.alias_of)
        for name in FORMATS:
            assert f"{name}:" in words
        for code in ("0 ", "1 ", "2 ", "3 ", "130 "):
            assert f"\n  {code}" in words

    def test_examples_are_calls_that_parse(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        calls = calls_in(capsys.readouterr().out)
        assert len(calls) == 10
        for call in calls:
            assert_parses(call, capsys)

    def test_without_words_says_what_is_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 2
        assert "COMMAND" in capsys.readouterr().err

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"{__version__}\n"

    def test_old_parameter_names_work(self, photos: Path, out: Path) -> None:
        assert segment(photos / "a.png", *POINT, "--iou-thres", "0.5", "--out", out) == 0
        assert json.loads((out / SETTINGS_NAME).read_text())["iou_thresh"] == "0.5"


class TestDocumentation:
    def test_its_calls_parse(self, capsys: pytest.CaptureFixture[str]) -> None:
        calls = calls_in((REPOSITORY / "docs" / "command_line.md").read_text())
        assert len(calls) == 8
        calls += calls_in((REPOSITORY / "docs" / "video_command_line.md").read_text())
        for call in calls:
            assert_parses(call, capsys)

    def test_tells_of_every_format(self) -> None:
        words = (REPOSITORY / "docs" / "command_line.md").read_text()
        for name, kind in FORMATS.items():
            assert f"| `{name}` | `cat{kind.ending}" in words


def calls_in(words: str) -> list[list[str]]:
    """The words behind the program's name in each example."""
    lines = [line.strip() for line in words.replace("\\\n", " ").splitlines()]
    program = re.compile("(infer-segment-anything-2|python -m infer_segment_anything_2) ")
    return [program.sub("", line, count=1).split() for line in lines if program.match(line)]


def assert_parses(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Runs a call up to where the parser is through, by a value that is refused only then."""
    call = [word for word in call if not word.startswith("@")]  # files that are not there
    call = [word for word in call if word != "--input-objects"]
    if call[0] in ("segment", "track"):
        assert main([*call, "--points-per-side", "none-such"]) == 2
        assert "points_per_side must be" in capsys.readouterr().err
    else:
        assert main([*call, "none-such"]) == 2
        assert re.search(
            "name 'none-such' is unknown|invalid choice|unrecognized arguments: none-such$",
            capsys.readouterr().err.strip(),
        )
