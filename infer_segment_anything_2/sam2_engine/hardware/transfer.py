"""The two doors between the host and a device: every number that passes takes one of them.

A GPU works through a queue, and the host is ahead of it. To read a number means to wait until all
that was queued before is done: a stop. So what is decided on the host is read in one piece, and
what goes the other way does not make anybody wait.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["to_device", "to_host"]


def to_host(tensor: Tensor) -> npt.NDArray[Any]:
    """The numbers of a tensor, once the device has them: a stop."""
    return tensor.cpu().numpy()


def to_device(numbers: npt.NDArray[Any], device: torch.device) -> Tensor:
    """The same numbers as a tensor on a device; no stop.

    On a CPU the tensor shares the array's memory.
    """
    tensor = torch.from_numpy(numbers)
    if device.type == "cuda":
        # From other memory than pinned one, CUDA copies only after the queue is empty.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
