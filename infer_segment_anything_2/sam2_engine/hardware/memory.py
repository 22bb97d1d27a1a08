"""Running out of memory: how it is recognised, and what is said of it."""

from __future__ import annotations

import torch

from infer_segment_anything_2.errors import DeviceError

__all__ = ["is_out_of_memory", "out_of_memory"]


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether an error of torch or Python means that memory ran out.

    A GPU's allocator raises an error of its own, the CPU's a plain ``RuntimeError``.
    """
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "can't allocate memory" in str(error)
    )


def out_of_memory(
    device: torch.device, needed: str, remedy: str, error: MemoryError | RuntimeError
) -> DeviceError:
    """The error to raise where nothing smaller is left to try.

    Args:
        device: Whose memory ran out.
        needed: For what there should have been room, such as "encode the picture".
        remedy: What to lower.
        error: What was raised.
    """
    return DeviceError(
        f"The memory of device '{device}' does not suffice: expected room to {needed}, got out of "
        f"memory. {remedy} PyTorch says: {error}"
    )
