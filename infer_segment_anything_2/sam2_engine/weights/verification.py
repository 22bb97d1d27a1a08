"""Whether a weights file is the one that it should be: size and SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from infer_segment_anything_2.errors import DamagedCheckpointError
from infer_segment_anything_2.sam2_engine.weights.checkpoints import Checkpoint

__all__ = ["sha256_of_file", "verify_checkpoint"]

_HASH_BLOCK_BYTES = 1 << 20


def verify_checkpoint(row: Checkpoint, path: Path) -> None:
    """Compares a file with the official one: the size where it is certain, and the hash.

    Raises:
        DamagedCheckpointError: It differs, or cannot be read.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    sha256 = ""
    if size_bytes == row.size_bytes or not row.size_is_certain:
        sha256 = sha256_of_file(path)
        if sha256 == row.sha256:
            return
    got = f"{size_bytes} bytes" + (f" with SHA-256 {sha256}" if sha256 else "")
    remedy = (
        "Install the plugin again."
        if row.is_bundled
        else "Delete it to have it downloaded anew. If these are your own weights, give the file "
        "another name and put its path into the parameter model_path."
    )
    raise DamagedCheckpointError(
        f"The file {path} is not the official {row.file_name}: expected {row.size_bytes} bytes "
        f"with SHA-256 {row.sha256}, got {got}. {remedy}"
    )


_sha256_by_file: dict[tuple[str, int, int], str] = {}


def sha256_of_file(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of a file, remembered until its size or time changes.

    Raises:
        DamagedCheckpointError: It cannot be read.
    """
    try:
        key = _file_key(path)
        known = _sha256_by_file.get(key)
        if known is not None:
            return known
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_HASH_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path, error) from error
    # Under the key from before the reading: a file that changed meanwhile has another one by now.
    _sha256_by_file[key] = digest.hexdigest()
    return digest.hexdigest()


def _file_key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"The weights file {path} cannot be read: expected a readable file, got {error}. Check "
        "the file's permissions and the disk."
    )
