"""Every Python block of the README runs as it stands there.

Two things cannot be had offline and are replaced: the url of a picture by a local one of the same
size, and Meta's weights by the bundled network.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from infer_segment_anything_2.sam2_results.video_writing import opened_video
from scripts.demo_clip import draw_clip
from tests.conftest import REPOSITORY
from tests.ikomia_namespace import ikomia_namespace

pytestmark = pytest.mark.ikomia

BLOCKS = re.findall(
    r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL
)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme") / "truck.png"
    Image.fromarray(np.kron(data.coffee(), np.ones((3, 3, 1), np.uint8))).save(path)
    return path


def offline(block: str, picture: Path) -> str:
    block = re.sub(r'url="[^"]*"', f"path={str(picture)!r}", block)
    return block.replace('"sam2.1_hiera_small"', '"sam2_demo_nano"')


def write_clip(path: Path) -> None:
    with opened_video(path) as video:
        for number, frame in enumerate(draw_clip(3).frames):
            video.write(frame, number / 10)


class TestReadmeBlocks:
    def test_are_there(self) -> None:
        assert len(BLOCKS) >= 4

    @pytest.mark.parametrize("number", range(len(BLOCKS)))
    def test_run(self, number: int, picture: Path, ikomia_home: Path, tmp_path: Path) -> None:
        if "clip.mp4" in BLOCKS[number]:
            write_clip(tmp_path / "clip.mp4")
        script = tmp_path / "block.py"
        script.write_text(offline(BLOCKS[number], picture), encoding="utf-8")
        assert "sam2.1" not in script.read_text(encoding="utf-8")
        needs_namespace = "ikomia.utils import ik" in BLOCKS[number]
        with (
            ikomia_namespace() if needs_namespace else nullcontext(dict(os.environ)) as environment
        ):
            done = subprocess.run(
                [sys.executable, str(script)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
                env=environment,
                cwd=tmp_path,
            )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
