"""A bounded memory of what was computed per picture, keyed by content."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["EmbeddingCache", "image_digest"]


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=_Sized)


def image_digest(image_rgb_hwc: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of a picture's shape and pixels: one changed pixel gives another digest."""
    digest = hashlib.sha256(repr(image_rgb_hwc.shape).encode())
    digest.update(np.ascontiguousarray(image_rgb_hwc).data)
    return digest.hexdigest()


class EmbeddingCache(Generic[T]):
    """The most recently used values, as many as fit into a number of bytes.

    Safe from several threads. A value larger than the whole cache is not kept.

    Args:
        limit_bytes: Upper bound of the sum of the values' ``nbytes``.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes that the values take now."""
        with self._lock:
            return sum(value.nbytes for value in self._values.values())

    def get(self, key: str) -> T | None:
        """The value under a key, which then counts as just used; None when there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: str, value: T) -> None:
        """Keeps a value, and drops the least recently used ones that no longer fit."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while sum(kept.nbytes for kept in self._values.values()) > self._limit_bytes:
                self._values.popitem(last=False)

    def clear(self) -> None:
        """Drops everything."""
        with self._lock:
            self._values.clear()
