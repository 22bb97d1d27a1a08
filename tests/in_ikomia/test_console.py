"""What a user of a real Ikomia sees on the console: warnings, each once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PLUGIN_NAME

pytestmark = pytest.mark.ikomia

BEGINNING = f"""
import sys
import numpy as np
from ikomia import core
from ikomia.dataprocess.workflow import Workflow
photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
workflow = Workflow()
task = workflow.add_task(name={PLUGIN_NAME!r}, auto_connect=True)
task.set_parameters({{"model_name": "sam2_demo_nano", "cuda": False}})
"""
SWAPPED = "Warning: Box [30, 20, 5, 5] had its corners swapped; taken as [5, 5, 30, 20]."


def streams(ikomia_home: Path, script: str) -> tuple[str, list[str]]:
    """Standard output, and the warnings on standard error, of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + script],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]


class TestWarnings:
    def test_are_seen_once_for_pictures(self, ikomia_home: Path) -> None:
        out, warnings = streams(
            ikomia_home,
            "task.set_parameters({'input_box': [30, 20, 5, 5]})\n"
            "for _ in range(3): workflow.run_on(array=photo)\n",
        )
        assert warnings == [SWAPPED]
        assert "swapped" not in out
        log = (ikomia_home / "log.txt").read_text(encoding="utf-8")
        assert log.count(SWAPPED.removeprefix("Warning: ")) >= 3

    def test_are_seen_again_when_set_again_and_whoever_else_runs(self, ikomia_home: Path) -> None:
        _, warnings = streams(
            ikomia_home,
            "other = Workflow().add_task(name='infer_segment_anything_2')\n"
            "for _ in range(2):\n"
            "    task.set_parameters({'input_box': [30, 20, 5, 5]})\n"
            "    workflow.run_on(array=photo)\n",
        )
        assert warnings == [SWAPPED] * 2

    def test_are_seen_once_for_a_video(self, ikomia_home: Path, tmp_path: Path) -> None:
        _, warnings = streams(
            ikomia_home,
            "import cv2\n"
            f"path = {str(tmp_path / 'video.avi')!r}\n"
            "writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))\n"
            "for _ in range(4): writer.write(np.zeros((48, 64, 3), np.uint8))\n"
            "writer.release()\n"
            "first = task.run\n"
            "def run():\n"  # a detector's boxes are others in each frame
            "    x = 60.0 + task.get_input(0).get_current_pos()\n"
            "    task.get_input(1).set_items([core.CGraphicsRectangle(x / 2, 5.0, 50.0, 9.0)])\n"
            "    first()\n"
            "task.run = run\n"
            "workflow.run_on(path=path)\n",
        )
        assert len(warnings) == 1
        assert "reaches beyond the picture of 64x48" in warnings[0]


class TestFolderAfterAPicture:
    def test_is_noticed(self, ikomia_home: Path, tmp_path: Path) -> None:
        for number in range(3):
            Image.fromarray(np.full((20, 30, 3), 50 * number, np.uint8)).save(
                tmp_path / f"{number}.png"
            )
        run_folder = f"workflow.run_on(folder={str(tmp_path)!r})\n"
        asked = "task.set_parameters({'input_box': [3, 3, 20, 15]})\n"
        _, warnings = streams(ikomia_home, asked + "workflow.run_on(array=photo)\n" + run_folder)
        assert len(warnings) == 1
        assert "The picture is the same as in the run before. " in warnings[0]
        assert streams(ikomia_home, asked + run_folder)[1] == []
