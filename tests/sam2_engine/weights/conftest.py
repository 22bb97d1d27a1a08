"""A machine with a checkpoint folder of its own, and a small official file."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infer_segment_anything_2.sam2_engine.weights import checkpoints
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    CHECKPOINTS,
    Checkpoint,
)
from tests.sam2_engine.weights.http_server import (
    Server,
)

OFFICIAL_CONTENT = b"official weights"


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
        size_bytes=len(OFFICIAL_CONTENT),
        sha256=hashlib.sha256(OFFICIAL_CONTENT).hexdigest(),
    )
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"small": small})
    return small


def put(folder: Path, content: bytes = OFFICIAL_CONTENT, name: str = "small.pt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", running.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on demand"
