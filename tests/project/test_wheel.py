"""What `pip install .` installs: the package with its data, the program, and nobody's OpenCV."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from infer_segment_anything_2 import __version__
from tests.conftest import PLUGIN_NAME, REPOSITORY, SHELVES


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves things beside what it builds."""
    pytest.importorskip("setuptools")
    root = tmp_path_factory.mktemp("wheel")
    clone = root / "clone"
    shutil.copytree(
        REPOSITORY / PLUGIN_NAME,
        clone / PLUGIN_NAME,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copyfile(REPOSITORY / name, clone / name)
    build = [*("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"), "-w"]
    done = subprocess.run(
        [sys.executable, *build, str(root), str(clone)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = root.glob("*.whl")
    return wheel


def metadata_of(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith("/METADATA"))
        return packed.read(name).decode()


class TestWheel:
    def test_holds_all_of_the_plugin_and_nothing_else(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as packed:
            names = {name for name in packed.namelist() if ".dist-info/" not in name}
        wanted = {
            path.relative_to(REPOSITORY).as_posix()
            for path in (REPOSITORY / PLUGIN_NAME).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert names == wanted
        assert f"{PLUGIN_NAME}/demo_model/sam2_demo_nano.pt" in names
        assert f"{PLUGIN_NAME}/icons/icon.png" in names
        assert {f"{PLUGIN_NAME}/{shelf}/__init__.py" for shelf in SHELVES} <= names

    def test_asks_for_opencv_only_where_ikomia_brings_none(self, wheel: Path) -> None:
        wants = re.findall(r"^Requires-Dist: (.*)$", metadata_of(wheel), re.MULTILINE)
        opencv = [line for line in wants if "opencv" in line]
        assert len(opencv) == 1
        assert re.fullmatch(r'opencv-python-headless.*; extra == "standalone"', opencv[0])
        assert [line for line in wants if "extra ==" not in line and "ikomia" in line] == []
        needed = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
        listed = [line for line in needed.splitlines() if line and not line.startswith("#")]
        assert len([line for line in wants if "extra ==" not in line]) == len(listed)

    def test_installs_a_program_that_helps_and_knows_its_models(
        self, wheel: Path, tmp_path: Path
    ) -> None:
        # The dependencies are those of the environment of the tests, but for a copy of ours.
        venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
        scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
        pip = ["-m", "pip", "--python", str(scripts / "python"), "install", "--no-deps"]
        subprocess.run([sys.executable, *pip, "--no-index", "--quiet", str(wheel)], check=True)
        (site,) = (tmp_path / "venv").rglob("site-packages")
        (site / "of_the_tests.pth").write_text(
            "\n".join(path for path in sys.path if path.endswith("site-packages"))
        )
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        for words, wanted in (
            (["--version"], __version__),
            (["segment", "--help"], "--points-per-side"),
            (["models", "check", "sam2_demo_nano"], str(site / PLUGIN_NAME)),
        ):
            done = subprocess.run(
                [str(scripts / "infer-segment-anything-2"), *words],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                cwd=tmp_path,
                env=environment,
            )
            assert done.returncode == 0, done.stderr
            assert wanted in done.stdout
