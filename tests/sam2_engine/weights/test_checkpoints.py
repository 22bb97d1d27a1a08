from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from infer_segment_anything_2 import PLUGIN_FOLDER
from infer_segment_anything_2.errors import DamagedCheckpointError, ParameterError
from infer_segment_anything_2.sam2_engine.weights import checkpoints
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
from infer_segment_anything_2.sam2_engine.weights.finding import (
    checkpoint_folders,
    find_weights,
    locate_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.verification import verify_checkpoint

OFFICIAL = [row for row in CHECKPOINTS.values() if not row.is_bundled]
CONTENT = b"official weights"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with none of the folders set."""
    for name in ("SAM2_CHECKPOINT_DIR", "SAM2_CHECKPOINT_URL", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """A small official checkpoint, known under its own name."""
    small = dataclasses.replace(
        CHECKPOINTS["sam2_hiera_tiny"],
        name="small",
        file_name="small.pt",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"small": small})
    return small


def put(folder: Path, content: bytes = CONTENT, name: str = "small.pt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


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
        assert "demo model trained on drawn scenes" in CHECKPOINTS["sam2_demo_nano"].advice

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


class TestCheckpointFolders:
    @pytest.mark.parametrize(
        "variables",
        [
            pytest.param({}, id="nothing set"),
            pytest.param({"XDG_CACHE_HOME": "/some/cache"}, id="cache folder"),
            pytest.param({"TORCH_HOME": "/some/torch"}, id="torch home"),
            pytest.param({"TORCH_HOME": "~/torch", "XDG_CACHE_HOME": "/x"}, id="both, with tilde"),
        ],
    )
    def test_follow_torch_hub(
        self, variables: dict[str, str], environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch.hub

        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert checkpoint_folders() == (Path(torch.hub.get_dir()) / "checkpoints",)

    def test_start_with_the_users_own(
        self, environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_DIR", "~/weights")
        home = environment / "home"
        hub_folder = home / ".cache" / "torch" / "hub" / "checkpoints"
        assert checkpoint_folders() == (home / "weights", hub_folder)


class TestFindWeights:
    def test_prefers_model_path_then_the_own_folder_then_torch_hubs(
        self, environment: Path, row: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_DIR", str(environment / "own"))
        monkeypatch.setenv("TORCH_HOME", str(environment / "torch"))
        in_hub = put(environment / "torch" / "hub" / "checkpoints")
        assert find_weights("small").path == in_hub
        in_own = put(environment / "own")
        assert find_weights("small").path == in_own
        users = put(environment / "elsewhere", b"fine-tuned", "mine.pt")
        assert find_weights("small", str(users)).path == users

    def test_gives_the_row_and_hash_of_official_weights(
        self, environment: Path, row: Checkpoint
    ) -> None:
        put(checkpoint_folders()[0])
        weights = find_weights("small")
        assert weights.checkpoint is row
        assert weights.sha256 == row.sha256

    def test_hashes_the_users_weights(self, environment: Path) -> None:
        path = put(environment, b"fine-tuned", "mine.pt")
        weights = find_weights("no matter", str(path))
        assert weights.checkpoint is None
        assert weights.sha256 == hashlib.sha256(b"fine-tuned").hexdigest()

    def test_recognises_official_weights_under_another_name(self) -> None:
        bundled = PLUGIN_FOLDER / "demo_model" / "sam2_demo_nano.pt"
        weights = find_weights("no matter", str(bundled))
        assert weights.checkpoint is CHECKPOINTS["sam2_demo_nano"]

    def test_finds_the_bundled_model_without_any_folder(self, environment: Path) -> None:
        weights = find_weights("sam2_demo_nano")
        assert weights.path == PLUGIN_FOLDER / "demo_model" / "sam2_demo_nano.pt"
        assert list(environment.iterdir()) == []

    def test_understands_a_tilde(self, environment: Path) -> None:
        path = put(environment / "home", b"fine-tuned", "mine.pt")
        assert find_weights("small", "~/mine.pt").path == path

    @pytest.mark.parametrize(
        "model_path",
        [
            pytest.param("/nowhere/mine.pt", id="no such file"),
            pytest.param("/", id="a folder"),
            pytest.param("~nobody-of-that-name/mine.pt", id="no such home"),
            pytest.param("mine\0.pt", id="zero byte"),
            pytest.param("m" * 5000, id="name too long"),
        ],
    )
    def test_refuses_a_model_path_that_is_no_file(self, model_path: str) -> None:
        with pytest.raises(ParameterError, match="No weights file lies at model_path") as caught:
            find_weights("sam2_demo_nano", model_path)
        assert caught.value.key == "model_path"
        assert caught.value.value == model_path


class TestVerification:
    @pytest.mark.parametrize(
        ("content", "got"),
        [
            pytest.param(b"short", "got 5 bytes.", id="size"),
            pytest.param(
                b"OFFICIAL weights",
                f"got 16 bytes with SHA-256 {hashlib.sha256(b'OFFICIAL weights').hexdigest()}.",
                id="hash",
            ),
        ],
    )
    def test_refuses_another_file_and_leaves_it_there(
        self, content: bytes, got: str, environment: Path, row: Checkpoint
    ) -> None:
        path = put(checkpoint_folders()[0], content)
        with pytest.raises(DamagedCheckpointError) as caught:
            find_weights("small")
        assert str(caught.value) == (
            f"The file {path} is not the official small.pt: expected 16 bytes with SHA-256 "
            f"{row.sha256}, {got} Delete it to have it downloaded anew. If these are your own "
            "weights, give the file another name and put its path into the parameter model_path."
        )
        assert path.read_bytes() == content

    def test_trusts_the_hash_where_the_size_is_uncertain(
        self, environment: Path, row: Checkpoint
    ) -> None:
        path = put(environment)
        row = dataclasses.replace(row, size_bytes=99)
        with pytest.raises(DamagedCheckpointError):
            verify_checkpoint(row, path)
        verify_checkpoint(dataclasses.replace(row, size_is_certain=False), path)

    def test_reads_an_unchanged_file_once(self, environment: Path, row: Checkpoint) -> None:
        path = put(environment)
        verify_checkpoint(row, path)
        status = path.stat()
        path.write_bytes(b"OFFICIAL WEIGHTS")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        verify_checkpoint(row, path)

    def test_reads_a_changed_file_again(self, environment: Path, row: Checkpoint) -> None:
        path = put(environment)
        verify_checkpoint(row, path)
        status = path.stat()
        path.write_bytes(b"OFFICIAL WEIGHTS")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        with pytest.raises(DamagedCheckpointError):
            verify_checkpoint(row, path)

    def test_ignores_a_part_file(self, environment: Path, row: Checkpoint) -> None:
        put(checkpoint_folders()[0], name="small.pt.part")
        assert locate_checkpoint(row) is None


def test_instructions_name_address_size_hash_and_folder(environment: Path) -> None:
    row = CHECKPOINTS["sam2.1_hiera_small"]
    assert manual_instructions(row, Path("/some/folder")) == (
        "To put it there by hand: fetch https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
        "sam2.1_hiera_small.pt on a machine with network access (184416285 bytes, SHA-256 "
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38) and copy it, under the "
        "name sam2.1_hiera_small.pt, into the folder /some/folder. The environment variable "
        "SAM2_CHECKPOINT_DIR names another folder, SAM2_CHECKPOINT_URL another server."
    )
