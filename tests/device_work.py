"""What a GPU would be asked to do: operations that would be launched, and stops of the host.

Both are seen without a GPU. Run on a CPU, the operations are those that a GPU would get; run on
fake tensors (`tests.fake_gpu`), those of any size of picture and network.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# What starts nothing on a device, beside views.
_FREE = frozenset(
    {
        "aten::empty", "aten::empty_strided", "aten::empty_like", "aten::new_empty",
        "aten::detach", "aten::alias", "aten::lift_fresh", "aten::_unsafe_view",
        "prim::device", "aten::is_pinned", "aten::_pin_memory",
        "aten::new_empty_strided", "aten::resolve_conj", "aten::resolve_neg",
    }
)  # fmt: skip
# What hands a number, or a size that depends on numbers, to the host.
_STOPPING = frozenset(
    {
        "aten::nonzero", "aten::_local_scalar_dense", "aten::masked_select", "aten::equal",
        "aten::_unique2", "aten::unique_consecutive", "aten::unique_dim",
        "aten::repeat_interleave", "aten::bincount", "aten::is_nonzero",
    }
)  # fmt: skip
# The ways from a tensor to the host that no operation shows on a CPU.
_READING = frozenset({torch.Tensor.cpu, torch.Tensor.tolist})


class DeviceWork:
    """Counts while it is entered; only in its own thread.

    Args:
        device: Kind of the device whose work counts: "cpu" for a run on the CPU, "cuda" for one on
            fake tensors, where the host's own operations are left out.

    Attributes:
        launches_of: Operations that are no mere views, by name.
        stops_at: What made the host wait, by name.
        uploads: Copies to another device for which nobody waits.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.launches_of: Counter[str] = Counter()
        self.stops_at: Counter[str] = Counter()
        self.uploads = 0
        self._entered = ExitStack()

    @property
    def launches(self) -> int:
        """Operations in all."""
        return self.launches_of.total()

    @property
    def stops(self) -> int:
        """Stops in all."""
        return self.stops_at.total()

    def __enter__(self) -> DeviceWork:
        self._entered.enter_context(_Reads(self))
        self._entered.enter_context(_Operations(self))
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)


class _Reads(TorchFunctionMode):
    def __init__(self, work: DeviceWork) -> None:
        super().__init__()
        self._work = work

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READING and args[0].device.type == self._work.device:
            self._work.stops_at[func.__name__] += 1
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, work: DeviceWork) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._work = work

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name, work = func._schema.name, self._work
        if name in _STOPPING or _indexes_by_mask(name, args):
            work.stops_at[name] += 1
        if name in ("aten::_to_copy", "aten::copy_") and _crosses(name, args, result):
            asynchronous = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
            if asynchronous:
                work.uploads += 1
            elif result.device.type != "cpu":  # the other way is seen as a call of `Tensor.cpu`
                work.stops_at["upload"] += 1
            return result
        if not func.is_view and name not in _FREE and _kind_of(result) == work.device:
            work.launches_of[name] += 1
        return result


def _crosses(name: str, args: Any, result: Any) -> bool:
    """Whether a copy goes from one device to another."""
    source = args[0] if name == "aten::_to_copy" else args[1]
    return bool(source.device != result.device)


def _indexes_by_mask(name: str, args: Any) -> bool:
    """Whether the host has to know first how many elements a mask selects."""
    return name in ("aten::index", "aten::index_put_") and any(
        index is not None and index.dtype == torch.bool for index in args[1]
    )


def _kind_of(result: Any) -> str:
    """Where an operation ran."""
    first = result
    while isinstance(first, (tuple, list)) and first:
        first = first[0]
    return first.device.type if isinstance(first, torch.Tensor) else "none"
