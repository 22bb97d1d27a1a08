"""Size and hash of weights files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import pytest

from infer_segment_anything_2.errors import DamagedCheckpointError
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    Checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.finding import (
    checkpoint_folders,
    find_weights,
    locate_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.verification import verify_checkpoint
from tests.sam2_engine.weights.conftest import put


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
