"""From a model's name or a path to a verified weights file, fetched where it is not there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from infer_segment_anything_2 import PLUGIN_FOLDER
from infer_segment_anything_2.errors import CheckpointError, ParameterError
from infer_segment_anything_2.sam2_engine.settings import OnProgress
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    CHECKPOINTS,
    Checkpoint,
    get_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.verification import (
    sha256_of_file,
    verify_checkpoint,
)

__all__ = ["WeightsFile", "checkpoint_folders", "find_weights", "locate_checkpoint"]


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that is there and can be loaded.

    Attributes:
        path: Where it lies.
        sha256: Hash of its content, which identifies the weights.
        checkpoint: The row whose official file this is, None for other weights.
    """

    path: Path
    sha256: str
    checkpoint: Checkpoint | None


def find_weights(
    name: str, model_path: str = "", *, progress: OnProgress | None = None
) -> WeightsFile:
    """The weights to use: the user's own file where one is named, else the official one.

    Looks, verifies and downloads in the order of the module's description.

    Args:
        name: Name of a checkpoint; not looked at when ``model_path`` is given.
        model_path: Path of a user's own weights, "" for none. ``~`` is the home folder.
        progress: Told of the download's progress, if there is one; may raise ``CancelledError``.

    Raises:
        ParameterError: The name is unknown, or no file lies at ``model_path``.
        DownloadError: The weights are nowhere and could not be fetched.
        DamagedCheckpointError: A file under the official name has other content.
        CancelledError: ``progress`` asked to stop; what was downloaded is kept.
    """
    if model_path:
        return _users_file(model_path)
    row = get_checkpoint(name)
    path = locate_checkpoint(row)
    if path is None:
        if row.is_bundled:
            raise CheckpointError(
                f"The weights of the bundled model '{row.name}' are missing: expected "
                f"{_bundled_path(row)}, found no such file. Install the plugin again."
            )
        # Only here: importing requests changes the process's warning filters, and those who have
        # the file need none of it.
        from infer_segment_anything_2.sam2_engine.weights.download import fetch_checkpoint

        path = fetch_checkpoint(row, checkpoint_folders()[0], progress=progress)
    return WeightsFile(path, row.sha256, row)


def locate_checkpoint(row: Checkpoint) -> Path | None:
    """Path of the verified official file on this machine, None when it is nowhere.

    Raises:
        DamagedCheckpointError: The first file under the official name has other content.
    """
    if row.is_bundled:
        candidates = [_bundled_path(row)]
    else:
        candidates = [folder / row.file_name for folder in checkpoint_folders()]
    for path in candidates:
        if path.is_file():
            verify_checkpoint(row, path)
            return path
    return None


def checkpoint_folders() -> tuple[Path, ...]:
    """The folders that are searched, best first; the first is where downloads go.

    The second follows the rules of ``torch.hub.get_dir()`` without importing torch.
    """
    cache_folder = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    torch_home = os.environ.get("TORCH_HOME", str(Path(cache_folder) / "torch"))
    hub_folder = _expand_user(torch_home) / "hub" / "checkpoints"
    own_folder = os.environ.get("SAM2_CHECKPOINT_DIR", "").strip()
    if own_folder:
        return _expand_user(own_folder), hub_folder
    return (hub_folder,)


def _users_file(model_path: str) -> WeightsFile:
    try:
        path = _expand_user(model_path)
        is_file = path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte in it
        is_file = False
    if not is_file:
        raise ParameterError(
            f"No weights file lies at model_path '{model_path[:500]}': expected the path of a .pt, "
            ".pth or .safetensors file, got one that is not there or is a folder. Correct the "
            "path, or leave model_path empty to use the model of model_name.",
            key="model_path",
            value=model_path,
        )
    sha256 = sha256_of_file(path)
    official = next((row for row in CHECKPOINTS.values() if row.sha256 == sha256), None)
    return WeightsFile(path, sha256, official)


def _bundled_path(row: Checkpoint) -> Path:
    return PLUGIN_FOLDER / "demo_model" / row.file_name


def _expand_user(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~name" of somebody unknown: then it is a plain name, as in os.path
        return Path(text)
