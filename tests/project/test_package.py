"""The package for the HUB: what is in it, and that it works where the HUB puts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_2 import __version__
from scripts.package import (
    HOME_PAGE,
    build_folder,
    check_folder,
    split_requirements,
    with_absolute_links,
    zip_folder,
)
from tests.conftest import PLUGIN_NAME, REPOSITORY, SHELVES

pytestmark = pytest.mark.ikomia

# What the host takes for a file of requirements.
HOST_REQUIREMENTS = re.compile("[rR]equirements[0-9]*.txt")
MOST_BYTES = 20 * 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def archive(folder: Path) -> Path:
    return zip_folder(folder, folder.parent / "package.zip")


def names_in(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as packed:
        return packed.namelist()


class TestContent:
    def test_the_plugins_files_lie_at_the_top(self, archive: Path) -> None:
        names = names_in(archive)
        assert {f"{PLUGIN_NAME}{part}.py" for part in ("", "_process", "_widget")} < set(names)
        assert not [name for name in names if name.startswith((PLUGIN_NAME + "/", "/", ".."))]

    def test_holds_the_plugin_and_what_goes_with_it_and_nothing_else(self, archive: Path) -> None:
        plugin = REPOSITORY / PLUGIN_NAME
        own = {
            path.relative_to(plugin).as_posix()
            for path in plugin.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        added = {"README.md", "LICENSE", "requirements1.txt", "requirements2.txt"}
        assert set(names_in(archive)) == own | added
        kinds = {
            ".py",
            ".pt",
            ".yaml",
            ".png",
            ".html",
            ".css",
            ".js",
            ".svg",
        }  # the page is plain files
        assert {Path(name).suffix for name in own} == kinds
        folders = {name.split("/")[0] for name in own if "/" in name}
        assert folders == {*SHELVES, "demo_model", "icons"}

    def test_leaves_out_what_programs_leave_lying_about(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clone = tmp_path / "clone"
        plugin = clone / PLUGIN_NAME
        (plugin / "__pycache__").mkdir(parents=True)
        for name in ("LICENSE", "README.md", "requirements.txt"):
            (clone / name).write_text("")
        for name in ("kept.py", "__pycache__/left.py", "left.pyc", ".left", "left.log", "left~"):
            (plugin / name).write_text("")
        monkeypatch.setattr("scripts.package.REPOSITORY", clone)
        built = build_folder(tmp_path / "dist")
        assert [path.name for path in built.glob("*.py")] == ["kept.py"]
        assert not [path for path in built.rglob("*") if path.stem in {"left", ".left"}]

    def test_is_small(self, archive: Path) -> None:
        assert archive.stat().st_size < MOST_BYTES

    def test_is_the_same_when_built_again(self, archive: Path, tmp_path: Path) -> None:
        again = zip_folder(build_folder(tmp_path), tmp_path / "again.zip")
        assert again.read_bytes() == archive.read_bytes()


class TestRequirements:
    def test_the_builders_of_the_others_come_first(self) -> None:
        # The host installs the files by name, without build isolation: sam2 is built with the torch
        # and the wheel that the first one brings.
        files = split_requirements((REPOSITORY / "requirements.txt").read_text(encoding="utf-8"))
        assert sorted(files) == ["requirements1.txt", "requirements2.txt"]
        first = {re.split("[<>=]", line)[0] for line in files["requirements1.txt"]}
        assert first == {"torch", "torchvision", "setuptools", "wheel"}
        assert "sam2==1.1.0" in files["requirements2.txt"]

    def test_nothing_is_lost(self) -> None:
        text = "# a comment\ntorch>=2.5\n\nsam2==1.1.0\nnumpy>=2,<3\n"
        assert split_requirements(text) == {
            "requirements1.txt": ["torch>=2.5", "setuptools", "wheel"],
            "requirements2.txt": ["sam2==1.1.0", "numpy>=2,<3"],
        }

    def test_replace_nobodys_torch_or_opencv(self, folder: Path) -> None:
        lines = [line for path in folder.glob("req*.txt") for line in path.read_text().splitlines()]
        assert [
            line for line in lines if line.startswith("torch") and not re.search(">=", line)
        ] == []
        assert [line for line in lines if re.search("opencv|--|https?:", line)] == []
        pinned = [line for line in lines if "==" in line]
        assert pinned == ["sam2==1.1.0"]

    def test_are_all_that_the_host_takes_for_requirements(self, folder: Path) -> None:
        found = [path.name for path in folder.iterdir() if HOST_REQUIREMENTS.search(path.name)]
        assert sorted(found) == ["requirements1.txt", "requirements2.txt"]


class TestReadme:
    @pytest.mark.parametrize(
        ("link", "absolute"),
        [
            ("[how](docs/a.md)", f"[how]({HOME_PAGE}/blob/main/docs/a.md)"),
            ("[how](docs/a.md#part)", f"[how]({HOME_PAGE}/blob/main/docs/a.md#part)"),
            ("![look](docs/a.png)", f"![look]({HOME_PAGE}/raw/main/docs/a.png)"),
            (
                "[![look](a.png)](a.md)",
                f"[![look]({HOME_PAGE}/raw/main/a.png)]({HOME_PAGE}/blob/main/a.md)",
            ),
            ("[a part](#part)", "[a part](#part)"),
            ("[Meta](https://example.org/a)", "[Meta](https://example.org/a)"),
            ("[us](mailto:us@example.org)", "[us](mailto:us@example.org)"),
        ],
    )
    def test_links_lead_home(self, link: str, absolute: str) -> None:
        assert with_absolute_links(f"see {link}.") == f"see {absolute}."

    def test_of_the_package_has_no_link_into_the_repository(self, folder: Path) -> None:
        readme = (folder / "README.md").read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)]+)\)", readme)
        assert links
        assert [link for link in links if not link.startswith(("https://", "#"))] == []


class TestCheck:
    def test_finds_nothing_to_complain_of(self, folder: Path) -> None:
        check_folder(folder)

    @pytest.mark.parametrize(
        "file", ["icons/icon.png", "README.md", "demo_model/sam2_demo_nano.pt"]
    )
    def test_tells_what_is_missing(self, folder: Path, file: str) -> None:
        content = (folder / file).read_bytes()
        (folder / file).unlink()
        try:
            with pytest.raises(SystemExit, match=f"not complete: {file} is missing$"):
                check_folder(folder)
        finally:
            (folder / file).write_bytes(content)

    def test_tells_of_a_folder_with_another_name(self, folder: Path) -> None:
        other = folder.rename(folder.with_name("other"))
        try:
            with pytest.raises(
                SystemExit, match=f"info.name is {PLUGIN_NAME}, the folder is other"
            ):
                check_folder(other)
        finally:
            other.rename(folder)


class TestScript:
    def test_works_and_leaves_the_users_ikomia_as_it_was(self, tmp_path: Path) -> None:
        log = tmp_path / "home" / "Ikomia" / "log.txt"
        log.parent.mkdir(parents=True)
        log.write_text("what the user's last run said", encoding="utf-8")
        environment = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPOSITORY)}
        del environment["IKOMIA_AUTO_COMPLETION"]
        done = subprocess.run(
            [sys.executable, "-c", _PACKAGE, str(tmp_path / "dist")],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "dist" / f"{PLUGIN_NAME}-{__version__}.zip").is_file()
        assert list((tmp_path / "home").rglob("*")) == [log.parent, log]
        assert log.read_text(encoding="utf-8") == "what the user's last run said"
        assert json.loads(done.stdout.splitlines()[-1]) == [str(tmp_path / "home"), None]


# The script, but for where its results go; and whether the environment is again as it was.
_PACKAGE = """
import json, os, pathlib, sys
from scripts import package
package.DIST = pathlib.Path(sys.argv[1])
package.main()
print(json.dumps([os.environ.get("HOME"), os.environ.get("IKOMIA_AUTO_COMPLETION")]))
"""

# What a user's process does: run, reload the plugin as Studio does, run again.
_HOST = f"""
import json, sys
import numpy as np
import torch.utils.data, ikomia.utils
from ikomia.dataprocess.registry import ik_registry
from ikomia.dataprocess.workflow import Workflow

picture = np.full((96, 128, 3), 40, np.uint8)
picture[24:72, 32:96] = (230, 120, 40)

def run():
    workflow = Workflow()
    task = workflow.add_task(name="{PLUGIN_NAME}", auto_connect=True)
    task.set_parameters({{"model_name": "sam2_demo_nano", "input_box": [28, 20, 100, 76]}})
    workflow.run_on(array=picture)
    return workflow, task, task.get_output(5).data["masks"][0]["segmentation"]

workflow, first, before = run()
modules = set(sys.modules)
ik_registry.load_algorithms()
again = Workflow().add_task(name="{PLUGIN_NAME}")
ik_registry.load_python_algorithm(ik_registry.get_plugins_directory() + "/Python/{PLUGIN_NAME}")
workflow_2, second, after = run()
workflow.run_on(array=picture)
print(json.dumps({{
    "files": sorted({{
        module.__file__ for name, module in sys.modules.items() if name.startswith("{PLUGIN_NAME}")
    }}),
    "version": ik_registry.get_algorithm_info("{PLUGIN_NAME}").version,
    "before": before,
    "after": after,
    "old task": first.get_output(5).data["masks"][0]["segmentation"],
    "reloaded": type(first) is not type(second),
    "lost modules": sorted(modules - set(sys.modules)),
    "same torch": torch.utils.data is sys.modules["torch.utils.data"],
    "same ikomia": ikomia.utils is sys.modules["ikomia.utils"],
}}))
"""


@pytest.fixture(scope="module")
def home(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the zip extracted where the host extracts it."""
    home = tmp_path_factory.mktemp("home")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(home / "Ikomia" / "Plugins" / "Python" / PLUGIN_NAME)
    return home


@pytest.fixture(scope="module")
def told(home: Path) -> dict[str, Any]:
    """What the user's process tells; it finds the plugin nowhere but in its own home."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", _HOST],
        env={**environment, "HOME": str(home), "TORCH_HOME": str(home / "torch")},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


class TestInstalledByTheHub:
    def test_runs_from_there(self, told: dict[str, Any], home: Path) -> None:
        assert told["files"]
        assert [file for file in told["files"] if not file.startswith(str(home))] == []
        assert told["version"] == __version__
        assert told["before"]["size"] == [96, 128]

    def test_a_reload_gives_new_classes_and_the_same_masks(self, told: dict[str, Any]) -> None:
        assert told["reloaded"]
        assert told["after"] == told["before"]

    def test_a_task_from_before_the_reload_still_runs(self, told: dict[str, Any]) -> None:
        assert told["old task"] == told["before"]

    def test_a_reload_takes_no_module_from_anybody(self, told: dict[str, Any]) -> None:
        # The host deletes every module whose name contains that of a sub-package.
        lost = [name for name in told["lost modules"] if not name.startswith(PLUGIN_NAME)]
        assert lost == []
        assert told["same torch"] and told["same ikomia"]

    def test_writes_nothing_into_its_own_folder(
        self, told: dict[str, Any], home: Path, archive: Path
    ) -> None:
        assert told["files"]  # it ran
        plugin = home / "Ikomia" / "Plugins" / "Python" / PLUGIN_NAME
        there = {path.relative_to(plugin) for path in plugin.rglob("*") if path.is_file()}
        new = there - {Path(name) for name in names_in(archive)}
        assert [path for path in new if "__pycache__" not in path.parts] == []
