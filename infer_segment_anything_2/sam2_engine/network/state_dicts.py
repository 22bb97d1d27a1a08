"""Tensors out of a weights file, whatever wraps them; nothing of the file is executed."""

from __future__ import annotations

import logging
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from infer_segment_anything_2.errors import (
    DamagedCheckpointError,
    DependencyError,
    first_line,
)
from infer_segment_anything_2.sam2_engine.network.file_kinds import is_cut_off, kind_of_file
from infer_segment_anything_2.sam2_engine.network.wrappings import FoundNetwork, networks_in

__all__ = ["read_networks", "read_state_dict", "warn_of_gaps"]

_logger = logging.getLogger("ikomia.infer_segment_anything_2.model_loading")

StateDict = Mapping[str, torch.Tensor]
_CONTAINER_KEYS = ("model", "state_dict", "model_state_dict")

_FIRST_TORCH_WITHOUT_KNOWN_GAPS = "2.10"  # CVE-2025-32434 and CVE-2026-24747

_EARLY_END = "unexpected EOF"  # PyTorch's words where a tensor's numbers end early

# What the two readers raise on files that are not weights: found by changing bytes at random.
_READER_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)


def warn_of_gaps(path: Path, version: torch.torch_version.TorchVersion) -> None:
    """Warns of a PyTorch whose restricted unpickler has known gaps.

    Args:
        path: A file without a known hash.
        version: Of the PyTorch that will read it.
    """
    # TorchVersion compares as versions do, also with plain text. The file is looked at last.
    if version < _FIRST_TORCH_WITHOUT_KNOWN_GAPS and not _is_safetensors(path):
        _logger.warning(
            "%s: PyTorch %s has known gaps in its protection against weights that run code; these "
            "have no known hash. Use PyTorch %s or newer, or a .safetensors file.",
            path,
            version,
            _FIRST_TORCH_WITHOUT_KNOWN_GAPS,
        )


def _is_safetensors(path: Path) -> bool:
    try:
        return kind_of_file(path).format == "safetensors"
    except OSError:  # what cannot be read is told of when it is read
        return path.suffix.lower() == ".safetensors"


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the network to be preferred in a weights file; see :func:`read_networks`."""
    return read_networks(path)[0].tensors


def read_networks(path: Path) -> list[FoundNetwork]:
    """The networks of a weights file, without the wrappings that training programs add.

    Takes files of torch.save (zip or older) and safetensors, told apart by their content. Where in
    the file a SAM 2 network lies does not matter, see :func:`.wrappings.networks_in`; tensors
    without one are given as they are.

    Returns:
        At least one, the one to be preferred first; none of them may be whole.

    Raises:
        DamagedCheckpointError: The file is broken, is none of weights, holds other things than
            tensors (nothing of it is run), or holds no tensors by name.
        DependencyError: A safetensors file, and the package that reads it is not installed.
    """
    try:
        kind = kind_of_file(path)
    except OSError as error:
        raise DamagedCheckpointError(
            f"The weights file {path} cannot be read: expected a file of weights, got "
            f"{error.strerror or error}. Correct the path or its permissions."
        ) from error
    if not kind.format:
        raise DamagedCheckpointError(
            f"The weights file {path} cannot be read: expected tensors saved by torch.save or as "
            f"safetensors, got {kind.got}. {kind.advice}"
        )
    content = _read_safetensors(path) if kind.format == "safetensors" else _read_torch(path)
    return networks_in(content) or [FoundNetwork((), "", _bare_tensors(content, path), ())]


def _bare_tensors(content: object, path: Path) -> dict[str, torch.Tensor]:
    """Tensors that are no SAM 2 network, for the message that says so."""
    for key in _CONTAINER_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise _no_tensors(path, f"a {type(content).__name__}")
    if not content:
        raise _no_tensors(path, "an empty dictionary")
    for name, tensor in content.items():
        if not (isinstance(name, str) and isinstance(tensor, torch.Tensor)):
            raise _no_tensors(path, f"a {type(tensor).__name__} under '{str(name)[:80]}'")
    return dict(content)


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # On unusual files: those are read well or not, and then it is told of below.
            warnings.simplefilter("ignore")
            # Mapped, so that the tensors are not in memory twice while they are copied to the
            # network. Only the zip format, which torch.save has written since 2020, can be mapped.
            if path.suffix.lower() != ".safetensors":
                mapped = zipfile.is_zipfile(path)
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            with path.open("rb") as stream:  # by its path PyTorch would go by the ending
                return torch.load(stream, map_location="cpu", weights_only=True)
    except _READER_ERRORS as error:
        if isinstance(error, EOFError) or _EARLY_END in str(error) or is_cut_off(path):
            raise DamagedCheckpointError(
                f"The weights file {path} cannot be read: expected tensors saved by torch.save, "
                "got the beginning of a file that was cut off. Fetch or copy it again."
            ) from error
        raise DamagedCheckpointError(
            f"The weights file {path} cannot be read: expected tensors saved by torch.save, got a "
            f"{_refused(error)}, which are refused because loading them could run code. Save "
            'torch.save({"model": network.state_dict()}, path).'
        ) from error


def _refused(error: Exception) -> str:
    """What PyTorch's reader did not take; its own text advises to load it all the same."""
    named = re.search(
        r"GLOBAL ([\w.]+)|[Uu]nsupported (?:class|operand|opcode) ([\w.]+)", str(error)
    )
    what = f" ({named.group(1) or named.group(2)})" if named else ""
    return f"broken file or one that holds other Python objects{what}"


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise DependencyError(
            f"The weights file {path} needs the package safetensors: expected it to be installed, "
            f"got {error}. Run: pip install safetensors"
        ) from error
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, *_READER_ERRORS) as error:
        raise DamagedCheckpointError(
            f"The weights file {path} cannot be read: expected a safetensors file, got a broken "
            f"one. Copy or save it again. safetensors says: {first_line(error)}"
        ) from error


def _no_tensors(path: Path, got: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"The weights file {path} holds no tensors by name: expected a state dict, bare or under "
        f"the key 'model' or 'state_dict', got {got}. Save "
        'torch.save({"model": network.state_dict()}, path).'
    )
