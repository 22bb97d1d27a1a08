"""What the host and the design demand of names, imports and versions."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

from infer_segment_anything_2 import __version__, sam2_engine
from infer_segment_anything_2.parameters import MODEL_NAMES, ROWS
from infer_segment_anything_2.sam2_engine import Engine
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from tests.conftest import PLUGIN_NAME, REPOSITORY, SHELVES

PLUGIN = REPOSITORY / PLUGIN_NAME

CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))[
        "tool"
    ]["importlinter"]["contracts"]
}
# The form and its host need Qt and Ikomia; that they need no torch is the contract's to say.
LIGHT = [
    module.removeprefix(f"{PLUGIN_NAME}.")
    for module in CONTRACTS["Parameters and the form start fast: no torch"]["source_modules"]
    if "sam2_form" not in module and "widget" not in module
]

MOST_LINES = 400
# One table each, read from top to bottom.
LONG_ON_PURPOSE = {f"{PLUGIN_NAME}/parameters.py", f"{PLUGIN_NAME}/exports.py"}


class TestHostRules:
    def test_no_other_module_contains_the_name_of_a_shelf(self) -> None:
        # On a reload the host drops every module whose name contains that of a sub-package; it
        # looks at the plugin's folder, not at the folders below.
        assert SHELVES
        assert {path.parent.name for path in PLUGIN.glob("*/*.py")} == SHELVES
        script = (
            "import torch, torchvision, sam2.build_sam, hydra, ikomia.dataprocess.workflow, sys\n"
            "import sam2.sam2_image_predictor, sam2.sam2_video_predictor\n"
            "import sam2.automatic_mask_generator, sam2.utils.transforms\n"
            f"print([name for name in sys.modules for shelf in {sorted(SHELVES)} if shelf in name])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=240
        )
        assert done.stdout.strip().splitlines()[-1] == "[]"

    def test_shelves_are_packages_with_names_of_ours(self) -> None:
        # Without an __init__.py the host would never drop its modules on a reload.
        folders = {path.parent for path in PLUGIN.rglob("*.py")} - {PLUGIN}
        assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
        assert [shelf for shelf in SHELVES if not shelf.startswith("sam2_")] == []

    def test_no_file_of_a_shelf_looks_like_a_plugin(self) -> None:
        assert list(PLUGIN.glob("*/**/*_process.py")) == []

    @pytest.mark.parametrize("module", [*LIGHT, "sam2_engine.weights.checkpoints"])
    def test_light_modules_import_neither_torch_nor_qt(self, module: str) -> None:
        script = (
            f"import sys, {PLUGIN_NAME}.{module}\n"
            "print([name for name in ('torch', 'sam2', 'PyQt6', 'ikomia') if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            cwd=REPOSITORY,
        )
        assert done.stdout.strip() == "[]"

    def test_no_requirements_file_in_the_plugin_folder(self) -> None:
        # The host would install it; the package gets its own.
        assert list(PLUGIN.glob("*equirements*")) == []


class TestHouse:
    def test_no_file_is_long(self) -> None:
        folders = (PLUGIN_NAME, "tests", "scripts", "benchmarks", "training", "examples")
        files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
        assert len(files) > 100
        long = {
            path.relative_to(REPOSITORY).as_posix()
            for path in files
            if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES
        }
        assert long - LONG_ON_PURPOSE == set()

    def test_picture_in_contributing_is_that_of_the_import_contracts(self) -> None:
        words = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
        (picture,) = re.findall(r"```text\n(.*?)```", words, re.DOTALL)
        drawn = [set(re.split(r"\s{2,}", line)[0].split(" | ")) for line in picture.splitlines()]
        layers = CONTRACTS["Data flows one way"]["layers"]
        assert drawn == [set(layer.split(" | ")) for layer in layers]
        assert set(re.findall(r"^\| `(\w+)/` \|", words, re.MULTILINE)) == SHELVES


class TestPublicNames:
    def test_engine_exports_what_it_lists(self) -> None:
        for name in sam2_engine.__all__:
            assert getattr(sam2_engine, name).__name__ == name if name != "CHECKPOINTS" else True
        with pytest.raises(AttributeError):
            sam2_engine.no_such_name  # noqa: B018

    def test_engine_exports_what_its_verbs_take_and_give(self) -> None:
        # So that whoever calls a verb needs no import but `sam2_engine`.
        own, outside = f"{PLUGIN_NAME}.sam2_engine.", {"PreparedImage", "ObjectPrompt"}
        verbs = (Engine.__init__, Engine.embed, Engine.predict, Engine.generate, Engine.track)
        named = {
            kind.__name__
            for verb in verbs
            for hint in get_type_hints(inspect.unwrap(verb)).values()
            for kind in (hint, *get_args(hint))
            if getattr(kind, "__module__", "").startswith(own)
        }
        assert {"GridSettings", "TileSettings", "CleaningSettings", "Prediction"} <= named
        assert named - outside <= set(sam2_engine.__all__)

    def test_models_are_the_same_in_parameters_and_checkpoints(self) -> None:
        assert set(MODEL_NAMES) == set(CHECKPOINTS)


class TestOneVersion:
    @pytest.mark.parametrize(
        ("file", "pattern"),
        [("pyproject.toml", r'^version = "(.*)"$'), ("CHANGELOG.md", r"^## ([\d.]+)")],
    )
    def test_is_the_same_everywhere(self, file: str, pattern: str) -> None:
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert re.findall(pattern, text, re.MULTILINE)[0] == __version__


class TestOldestTorch:
    def test_is_the_one_that_security_names(self) -> None:
        security = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
        requirements = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
        (bound,) = re.findall(r"^torch>=([\d.]+)$", requirements, re.MULTILINE)
        assert f"before PyTorch {bound}, the oldest that `requirements.txt` accepts" in security


class TestReadme:
    def test_lists_every_parameter_and_model(self) -> None:
        from scripts.readme_tables import with_fresh_tables

        readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
        assert readme == with_fresh_tables(readme)
        for row in ROWS:
            assert f"`{row.key}`" in readme

    def test_names_files_that_exist(self) -> None:
        readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?://|#)([^)#]+)", readme)
        assert links
        assert [link for link in links if not (REPOSITORY / Path(link)).exists()] == []
