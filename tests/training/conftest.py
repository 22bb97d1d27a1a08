"""Training tests run on one thread, as the training processes do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """With two OpenMP threads, a convolution's backward pass hung for ever (oneDNN, torch 2.15)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
