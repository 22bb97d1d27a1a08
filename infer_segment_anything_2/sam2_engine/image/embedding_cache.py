"""A bounded memory of what was computed per picture, keyed by content."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from infer_segment_anything_2.sam2_engine.hardware.forking import ProcessLock

__all__ = ["EmbeddingCache", "image_digest", "tensor_bytes"]

T = TypeVar("T")


def image_digest(image_rgb_hwc: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of a picture's shape and pixels: one changed pixel gives another digest."""
    digest = hashlib.sha256(repr(image_rgb_hwc.shape).encode())
    digest.update(np.ascontiguousarray(image_rgb_hwc).data)
    return digest.hexdigest()


def tensor_bytes(value: object) -> int:
    """Bytes of all tensors in a value made of dataclasses and tuples, each memory counted once."""
    bytes_by_address: dict[int, int] = {}

    def visit(part: object) -> None:
        if isinstance(part, Tensor):
            storage = part.untyped_storage()
            bytes_by_address[storage.data_ptr()] = storage.nbytes()
        elif isinstance(part, tuple):
            for item in part:
                visit(item)
        elif is_dataclass(part):
            for field in fields(part):
                visit(getattr(part, field.name))

    visit(value)
    return sum(bytes_by_address.values())


class EmbeddingCache(Generic[T]):
    """The most recently used values, as many as fit into a number of bytes.

    Safe from several threads. A value larger than the whole cache is not kept.

    Args:
        limit_bytes: Upper bound of the sum of the values' bytes.
        bytes_of: How many a value takes when it is put.
    """

    def __init__(self, limit_bytes: int, bytes_of: Callable[[T], int] = tensor_bytes) -> None:
        self._limit_bytes = limit_bytes
        self._bytes_of = bytes_of
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes: dict[Hashable, int] = {}
        self._sum_bytes = 0
        self._lock = ProcessLock()

    @property
    def nbytes(self) -> int:
        """Bytes that the values take now."""
        with self._lock:
            return self._sum_bytes

    def get(self, key: Hashable) -> T | None:
        """The value under a key, which then counts as just used; None when there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: T) -> None:
        """Keeps a value, and drops the least recently used ones that no longer fit."""
        nbytes = self._bytes_of(value)
        with self._lock:
            self._values.pop(key, None)
            self._sum_bytes -= self._bytes.pop(key, 0)
            if nbytes > self._limit_bytes:
                return
            self._values[key] = value
            self._bytes[key] = nbytes
            self._sum_bytes += nbytes
            while self._sum_bytes > self._limit_bytes:
                oldest, _ = self._values.popitem(last=False)
                self._sum_bytes -= self._bytes.pop(oldest)

    def clear(self) -> None:
        """Drops everything."""
        with self._lock:
            self._values.clear()
            self._bytes.clear()
            self._sum_bytes = 0
