from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from infer_segment_anything_2 import PLUGIN_FOLDER
from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    CHECKPOINT_NAMES,
    CHECKPOINTS,
    Checkpoint,
    get_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.download import (
    checkpoint_url,
    manual_instructions,
)

OFFICIAL = [row for row in CHECKPOINTS.values() if not row.is_bundled]


class TestRows:
    def test_name_the_eight_official_models_and_the_bundled_one(self) -> None:
        sizes = ("tiny", "small", "base_plus", "large")
        assert set(CHECKPOINT_NAMES) == {
            *(f"sam2_hiera_{size}" for size in sizes),
            *(f"sam2.1_hiera_{size}" for size in sizes),
            "sam2_demo_nano",
        }

    @pytest.mark.parametrize("row", CHECKPOINTS.values(), ids=lambda row: row.name)
    def test_are_complete(self, row: Checkpoint) -> None:
        assert row.file_name == f"{row.name}.pt"
        assert re.fullmatch("[0-9a-f]{64}", row.sha256)
        assert row.licence == "Apache-2.0"
        assert re.fullmatch(r"[A-Z][^.]*(?:2\.1[^.]*)?\.", row.advice), "one sentence"

    def test_differ_in_what_must_differ(self) -> None:
        for key in ("sha256", "size_bytes", "file_name", "config", "advice"):
            assert len({getattr(row, key) for row in CHECKPOINTS.values()}) == 9, key

    @pytest.mark.parametrize("row", OFFICIAL, ids=lambda row: row.name)
    def test_official_files_hold_one_float32_per_parameter(self, row: Checkpoint) -> None:
        overhead_bytes = row.size_bytes - 4 * row.parameter_count
        assert 0 < overhead_bytes < 400_000

    @pytest.mark.parametrize("row", OFFICIAL, ids=lambda row: row.name)
    def test_official_configs_are_in_the_sam2_package(self, row: Checkpoint) -> None:
        spec = find_spec("sam2")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        assert (Path(spec.submodule_search_locations[0]) / row.config).is_file()

    def test_bundled_row_is_the_file_in_the_plugin(self) -> None:
        row = CHECKPOINTS["sam2_demo_nano"]
        path = PLUGIN_FOLDER / "demo_model" / row.file_name
        assert path.stat().st_size == row.size_bytes
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
        assert (PLUGIN_FOLDER / row.config).is_file()

    def test_say_plainly_what_the_demo_model_is(self) -> None:
        advice = CHECKPOINTS["sam2_demo_nano"].advice
        assert "demo model" in advice
        assert "not for real work" in advice

    def test_only_the_size_of_2_1_tiny_is_uncertain(self) -> None:
        uncertain = [row.name for row in CHECKPOINTS.values() if not row.size_is_certain]
        assert uncertain == ["sam2.1_hiera_tiny"]


def test_importing_loads_neither_torch_nor_sam2() -> None:
    code = (
        "import sys, infer_segment_anything_2.sam2_engine.weights.checkpoints;"
        "print(sorted({'torch', 'sam2', 'hydra', 'requests', 'PyQt6'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PLUGIN_FOLDER.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert run.stdout.strip() == "[]"


class TestGetCheckpoint:
    def test_names_the_nearest(self) -> None:
        with pytest.raises(ParameterError) as caught:
            get_checkpoint("sam2.1_hiera_tinny")
        assert str(caught.value) == (
            "Model name 'sam2.1_hiera_tinny' is unknown: expected one of "
            f"{', '.join(CHECKPOINT_NAMES)}. Did you mean 'sam2.1_hiera_tiny'?"
        )
        assert (caught.value.key, caught.value.value) == ("model_name", "sam2.1_hiera_tinny")

    def test_guesses_nothing_from_nonsense(self) -> None:
        with pytest.raises(ParameterError, match=r"sam2_demo_nano\.$"):
            get_checkpoint("")


class TestCheckpointUrl:
    @pytest.mark.usefixtures("environment")
    def test_is_metas_address(self) -> None:
        assert checkpoint_url(CHECKPOINTS["sam2.1_hiera_large"]) == (
            "https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_large.pt"
        )
        assert checkpoint_url(CHECKPOINTS["sam2_hiera_base_plus"]) == (
            "https://dl.fbaipublicfiles.com/segment_anything_2/072824/sam2_hiera_base_plus.pt"
        )

    @pytest.mark.parametrize("base", ["http://mirror/sam", "http://mirror/sam/"])
    def test_can_be_a_mirror(self, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", base)
        assert checkpoint_url(CHECKPOINTS["sam2_hiera_tiny"]) == (
            "http://mirror/sam/072824/sam2_hiera_tiny.pt"
        )


def test_instructions_name_address_size_hash_and_folder(environment: Path) -> None:
    row = CHECKPOINTS["sam2.1_hiera_small"]
    assert manual_instructions(row, Path("/some/folder")) == (
        "To put it there by hand: fetch https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
        "sam2.1_hiera_small.pt on a machine with network access (184416285 bytes, SHA-256 "
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38) and copy it, under the "
        "name sam2.1_hiera_small.pt, into the folder /some/folder. The environment variable "
        "SAM2_CHECKPOINT_DIR names another folder, SAM2_CHECKPOINT_URL another server."
    )
