"""Running out of memory: how it is recognised, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from infer_segment_anything_2.errors import DeviceError

__all__ = ["Halving", "free_bytes", "is_out_of_memory", "out_of_memory"]

Items = TypeVar("Items", list[int], npt.NDArray[np.float32])
Result = TypeVar("Result")


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


def free_bytes(device: torch.device) -> int | None:
    """What may still be allocated on a GPU; None for other devices, where nobody can tell.

    Both what no program has and what PyTorch holds unused.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


class Halving:
    """Does work in parts that fit into memory; safe from several threads.

    What did not fit once is not tried again: the next parts are as small.

    Args:
        most: Items of a part at first.
        device: Whose memory is meant.
        needed: What there should have been room for when one item is too much.
        remedy: What to lower then.

    Attributes:
        most: Items of a part by now.
    """

    def __init__(self, most: int, device: torch.device, needed: str, remedy: str) -> None:
        self.most = most
        self._device, self._needed, self._remedy = device, needed, remedy

    def run(self, work: Callable[[Items], Result], items: Items) -> list[Result]:
        """Does the work on all items, in order; one result a part.

        Raises:
            DeviceError: The memory does not suffice even for one item.
        """
        if len(items) <= self.most:
            try:
                return [work(items)]
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(items) == 1:
                    raise out_of_memory(self._device, self._needed, self._remedy, error) from error
        middle = (len(items) + 1) // 2
        self.most = min(self.most, middle)
        first: Items = items[:middle]
        second: Items = items[middle:]
        return [*self.run(work, first), *self.run(work, second)]
