"""Where weights are looked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from infer_segment_anything_2 import PLUGIN_FOLDER
from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    CHECKPOINTS,
    Checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.finding import (
    checkpoint_folders,
    find_weights,
)
from tests.sam2_engine.weights.conftest import put


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
