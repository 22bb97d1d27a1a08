"""The command `models`: lists, fetches and checks weights."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from infer_segment_anything_2.sam2_batch.command_line import main


class TestModels:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("SAM2_CHECKPOINT_DIR", str(tmp_path))
        return tmp_path

    def test_lists_all(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "sam2_hiera_tiny.pt").write_bytes(b"")
        assert main(["models"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 18
        assert " ".join(lines[0].split()) == (
            "sam2.1_hiera_tiny 156.0 MB not here, fetched when first used"
        )
        assert lines[8].endswith(f"here, {folder / 'sam2_hiera_tiny.pt'}")
        assert lines[16].endswith("comes with the plugin")

    def test_lists_the_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "list", "sam2_demo_nano"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 2

    def test_fetches_what_is_here_without_network(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "fetch", "sam2_demo_nano"]) == 0
        assert capsys.readouterr().out.rstrip().endswith("sam2_demo_nano.pt")

    def test_tells_how_to_fetch_by_hand_when_the_server_cannot_be_reached(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)  # between its attempts
        assert main(["models", "fetch", "sam2_hiera_tiny"]) == 3
        assert "To put it there by hand" in capsys.readouterr().err

    def test_fetch_wants_a_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "fetch"]) == 2
        assert "Name what to fetch: sam2.1_hiera_tiny" in capsys.readouterr().err

    def test_checks_what_is_here(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "check"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("sam2_demo_nano: unharmed")

    def test_check_finds_damage_and_looks_at_the_rest(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "sam2_hiera_tiny.pt").write_bytes(b"")
        assert main(["models", "check"]) == 3
        shown = capsys.readouterr()
        assert "is not the official sam2_hiera_tiny.pt" in shown.err
        assert "sam2_demo_nano: unharmed" in shown.out

    def test_check_tells_that_a_named_one_is_not_here(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["models", "check", "sam2_hiera_tiny"]) == 3
        assert capsys.readouterr().out == "sam2_hiera_tiny: not here\n"

    def test_knows_no_other_names(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "check", "sam2_demo_mano"]) == 2
        assert "Did you mean 'sam2_demo_nano'?" in capsys.readouterr().err
