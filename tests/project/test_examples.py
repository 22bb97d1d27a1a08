"""The examples run as they stand, each in a process and a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
PLUGIN_NAME = "infer_segment_anything_2"


def run(name: str, folder: Path) -> str:
    """Runs an example in a folder, with the plugin in a new Ikomia; gives what it printed."""
    plugins = folder / "home" / "Ikomia" / "Plugins" / "Python"
    plugins.mkdir(parents=True)
    (plugins / PLUGIN_NAME).symlink_to(REPOSITORY / PLUGIN_NAME)
    environment = {**os.environ, "HOME": str(folder / "home"), "IKOMIA_AUTO_COMPLETION": "0"}
    finished = subprocess.run(
        [sys.executable, REPOSITORY / "examples" / name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def pictures_in(folder: Path) -> dict[str, tuple[int, int]]:
    sizes = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            sizes[path.name] = picture.size
    return sizes


class TestExamples:
    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_are_short(self, path: Path) -> None:
        assert len(path.read_text().splitlines()) < 60

    def test_engine_without_ikomia(self, tmp_path: Path) -> None:
        printed = run("engine_without_ikomia.py", tmp_path)
        assert printed.count("prompted: ") == 2
        assert "everything: 144 points" in printed
        size = (600, 400)
        assert pictures_in(tmp_path / "example_output") == {
            "prompted.png": size,
            "everything.png": size,
        }

    def test_export_coco(self, tmp_path: Path) -> None:
        printed = run("export_coco.py", tmp_path)
        assert "coco.json: 2 pictures, " in printed

    @pytest.mark.ikomia
    def test_ikomia_workflow(self, tmp_path: Path) -> None:
        printed = run("ikomia_workflow.py", tmp_path)
        assert printed.count("instance ") == 2
        assert printed.count("record ") == 2
        assert list(pictures_in(tmp_path / "example_output")) == ["ikomia_workflow.png"]

    @pytest.mark.ikomia
    def test_interactive_clicks(self, tmp_path: Path) -> None:
        printed = run("interactive_clicks.py", tmp_path)
        assert [f"click {number}: " in printed for number in range(1, 6)] == [True] * 4 + [False]
        assert len(pictures_in(tmp_path / "example_output")) == 4

    @pytest.mark.slow
    def test_pictures_in_a_bucket(self, tmp_path: Path) -> None:
        printed = run("pictures_in_a_bucket.py", tmp_path)
        assert "2 pictures done, 0 failed, " in printed
        assert "s3://bucket/pictures/below/rocket.png: " in printed
        assert "s3://bucket/pictures/coffee.png: " in printed

    def test_all_are_tested(self) -> None:
        tested = {name.removeprefix("test_") for name in dir(TestExamples)}
        assert {path.stem for path in EXAMPLES} <= tested

    @pytest.mark.ikomia
    def test_track_video(self, tmp_path: Path) -> None:
        printed = run("track_video.py", tmp_path)
        assert "frame 0: object 1 prompted" in printed
        assert pictures_in(tmp_path / "example_output") == {"track_video.png": (1800, 200)}
