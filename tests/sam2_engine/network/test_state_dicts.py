"""Reading weights files: what is refused, and what is said of it."""

from __future__ import annotations

import builtins
import logging
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.torch_version import TorchVersion

from infer_segment_anything_2.errors import (
    DamagedCheckpointError,
)
from infer_segment_anything_2.sam2_engine.network import state_dicts
from infer_segment_anything_2.sam2_engine.network.state_dicts import read_state_dict, warn_of_gaps
from tests.sam2_engine.network.own_weights import PATCH, Tensors, load_own


@pytest.mark.parametrize(
    ("name", "version", "warns"),
    [
        ("mine.pt", "2.5.1+cu121", True),
        ("mine.pt", "2.9.1", True),
        ("mine.pt", "2.10.0", False),
        ("mine.pt", "3.0.0a0+git1234", False),
        ("mine.safetensors", "2.5.1", False),
    ],
)
def test_reader_with_known_gaps_is_told_of(
    name: str, version: str, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[logging.LogRecord] = []
    monkeypatch.setattr(state_dicts._logger, "handle", records.append)
    warn_of_gaps(Path(name), TorchVersion(version))
    assert [record.levelno for record in records] == [logging.WARNING] * warns


class RunsWhenUnpickled:
    """Writes a file while it is being loaded, as malicious code would do worse."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self.trace), "w")


class TestDamage:
    @pytest.mark.parametrize("format_", ["zip", "legacy", "plain pickle", "in a state dict"])
    def test_code_in_a_file_is_refused_and_not_run(
        self, format_: str, tmp_path: Path, nano_tensors: Tensors
    ) -> None:
        trace = tmp_path / "trace"
        path = tmp_path / "evil.pt"
        evil = {"model": RunsWhenUnpickled(trace)}
        if format_ == "plain pickle":
            path.write_bytes(pickle.dumps(evil))
        elif format_ == "in a state dict":
            torch.save({"model": nano_tensors, "extra": RunsWhenUnpickled(trace)}, path)
        else:
            torch.save(evil, path, _use_new_zipfile_serialization=format_ == "zip")
        with pytest.raises(DamagedCheckpointError, match="refused because loading them could run"):
            load_own(str(path))
        assert not trace.exists()

    def test_the_trap_works(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        pickle.loads(pickle.dumps(RunsWhenUnpickled(trace))).close()
        assert trace.exists()

    @pytest.mark.parametrize("name", ["mine.pt", "mine.safetensors"])
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"<html>Please log in</html>", id="web page"),
            pytest.param(b"PK\x03\x04 and nothing more", id="zip by its first bytes"),
            pytest.param(random.Random(1).randbytes(10_000), id="noise"),
        ],
    )
    def test_file_of_another_kind_is_refused(
        self, content: bytes, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DamagedCheckpointError, match="cannot be read: expected"):
            load_own(str(tmp_path / name))

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
    def test_half_a_file_is_refused(
        self, share: float, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        path = Path(save({"model": nano_tensors}))
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DamagedCheckpointError, match="cannot be read"):
            load_own(str(path))

    @pytest.mark.parametrize("zipped", [True, False])
    def test_changed_bytes_give_tensors_or_our_error(
        self, zipped: bool, tmp_path: Path, save: Callable[..., str]
    ) -> None:
        small = {PATCH: torch.zeros(4, 3, 7, 7), "b": torch.ones(3).half()}
        path = Path(save({"model": small}, _use_new_zipfile_serialization=zipped))
        content = path.read_bytes()
        noise = random.Random(4)
        refused = 0
        for _ in range(300):
            changed = bytearray(content)
            for _ in range(noise.randrange(1, 9)):
                changed[noise.randrange(len(changed))] = noise.randrange(256)
            path.write_bytes(changed)
            try:
                assert all(isinstance(t, torch.Tensor) for t in read_state_dict(path).values())
            except DamagedCheckpointError:
                refused += 1
        assert 0 < refused < 300

    @pytest.mark.parametrize(
        ("content", "got"),
        [
            pytest.param(torch.zeros(3), "got a Tensor", id="tensor"),
            pytest.param({}, "got an empty dictionary", id="empty"),
            pytest.param({"model": {}}, "got an empty dictionary", id="empty model"),
            pytest.param({"model": {"epoch": 3}}, "got a int under 'epoch'", id="no tensor"),
            pytest.param({"model": {3: torch.ones(1)}}, "got a Tensor under '3'", id="no name"),
            pytest.param([torch.zeros(3)], "got a list", id="list"),
        ],
    )
    def test_content_without_named_tensors_is_refused(
        self, content: object, got: str, save: Callable[..., str]
    ) -> None:
        with pytest.raises(DamagedCheckpointError, match=f"holds no tensors by name.*{got}"):
            load_own(save(content))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers_are_refused(
        self, value: float, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        spoilt = nano_tensors | {"no_obj_ptr": torch.full((1, 128), value)}
        with pytest.raises(DamagedCheckpointError, match="1 tensors, first in no_obj_ptr"):
            load_own(save(spoilt))
