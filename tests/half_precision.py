"""Whether this process can be asked for half precision at all."""

from __future__ import annotations

import pytest
import torch

from infer_segment_anything_2.sam2_engine.devices import multiplies_rightly


def skip_without(precision: torch.dtype) -> None:
    """Skips the test where products in that format come out wrong on the CPU."""
    if not multiplies_rightly(torch.device("cpu"), precision):
        pytest.skip(f"Ikomia, imported before torch, broke the products of {precision} here")
