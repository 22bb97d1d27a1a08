"""Weights files that the tests of this folder make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from infer_segment_anything_2.sam2_engine.network.state_dicts import read_state_dict
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights
from tests.sam2_engine.network.own_weights import Tensors


@pytest.fixture(scope="module")
def nano_tensors() -> Tensors:
    """The demo network with float32 numbers of its own, so that it is no official file."""
    tensors = read_state_dict(find_weights("sam2_demo_nano").path)
    return {name: tensor.float() + 0.25 for name, tensor in tensors.items()}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """Saves anything as a checkpoint and gives its path."""

    def save_content(content: object, **options: Any) -> str:
        path = tmp_path / "mine.pt"
        torch.save(content, path, **options)
        return str(path)

    return save_content
