"""A GPU that is not there: fake tensors of device "cuda", which have shapes and no numbers.

Every operation checks that its tensors lie on one device, so a constant that was forgotten on the
CPU is an error here as on a real GPU. Where the host reads numbers, they are made up.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy.typing as npt
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

__all__ = ["FakeGpu"]

Numbers = npt.NDArray[Any]


class FakeGpu:
    """Everything that is made while it is entered is fake.

    Args:
        read: Makes up what the host reads from the device: gets shape and type, gives an array.
        selected: How many places a ``nonzero`` of so many elements is said to find.

    Attributes:
        selections: How often a ``nonzero`` was asked for: each is a stop.
    """

    def __init__(
        self,
        read: Callable[[tuple[int, ...], torch.dtype], Numbers],
        selected: Callable[[int], int] = lambda n: n // 50,
    ) -> None:
        self.selections = 0
        self._entered = ExitStack()
        self._tensors = FakeTensorMode(allow_non_fake_inputs=False)
        self._functions = _MadeUp(self, self._tensors, read, selected)

    def __enter__(self) -> FakeGpu:
        self._entered.enter_context(self._tensors)
        self._entered.enter_context(self._functions)
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)

    def network(self, real: SAM2Base) -> SAM2Base:
        """A network's copy on the GPU; to be made before this is entered."""
        moved = copy.deepcopy(real)
        for module in moved.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        fake = self._tensors.from_tensor(tensor.detach())
                        with self._tensors:
                            on_gpu = fake.to("cuda")
                        tensors[name] = (
                            torch.nn.Parameter(on_gpu, requires_grad=False)
                            if isinstance(tensor, torch.nn.Parameter)
                            else on_gpu
                        )
        return moved


class _MadeUp(TorchFunctionMode):
    """What fake tensors cannot do."""

    def __init__(
        self,
        gpu: FakeGpu,
        tensors: FakeTensorMode,
        read: Callable[[tuple[int, ...], torch.dtype], Numbers],
        selected: Callable[[int], int],
    ) -> None:
        super().__init__()
        self._gpu, self._tensors, self._read, self._selected = gpu, tensors, read, selected

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.from_numpy:
            return self._tensors.from_tensor(func(*args))
        if func is torch.Tensor.pin_memory:
            assert args[0].device.type == "cpu"
            return args[0]
        if func is torch.Tensor.numpy:
            assert args[0].device.type == "cpu"
            made_up = self._read(tuple(args[0].shape), args[0].dtype)
            assert made_up.shape == tuple(args[0].shape)
            return made_up
        if func in (torch.nonzero, torch.Tensor.nonzero):
            self._gpu.selections += 1
            n_found = self._selected(args[0].numel())
            return torch.empty(n_found, args[0].ndim, dtype=torch.int64, device=args[0].device)
        if func is torch.nn.functional.scaled_dot_product_attention:
            return _attention(*args[:3], **kwargs)
        return func(*args, **kwargs)


def _attention(q: Any, k: Any, v: Any, *, dropout_p: float = 0.0) -> Any:
    """One kernel, as GPUs have it; fake ones are given a dozen small operations instead."""
    assert dropout_p == 0
    return torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, None, False)[0]
