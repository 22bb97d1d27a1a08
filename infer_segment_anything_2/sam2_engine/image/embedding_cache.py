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

__all__ = ["EmbeddingCache", "PictureDigests", "image_digest", "tensor_bytes"]

T = TypeVar("T")

# Compared at a time: fits the processor's cache, and is enough for numpy's own work not to count.
_COMPARED_BYTES = 2**20
# The largest picture that is kept to be compared: 22 megapixels.
_MOST_KEPT_BYTES = 64 * 2**20


def image_digest(image_rgb_hwc: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of a picture's shape and pixels: one changed pixel gives another digest."""
    digest = hashlib.sha256(repr(image_rgb_hwc.shape).encode())
    digest.update(np.ascontiguousarray(image_rgb_hwc).data)
    return digest.hexdigest()


class PictureDigests:
    """Digests of pictures, as `image_digest` gives them; of the same picture again, in less time.

    The last picture is kept, to compare all pixels of the next one with: that takes a quarter of
    the time of hashing them, which counts in a click on a large picture. Safe from several threads.

    Args:
        limit_bytes: Larger pictures are not kept, and always hashed.
    """

    def __init__(self, limit_bytes: int = _MOST_KEPT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._last: tuple[npt.NDArray[np.uint8], str] | None = None

    def of(self, image_rgb_hwc: npt.NDArray[np.uint8]) -> str:
        """The digest of a picture, which may be another than before in the same memory."""
        last = self._last
        if last is not None and _are_equal(last[0], image_rgb_hwc):
            return last[1]
        digest = image_digest(image_rgb_hwc)
        if image_rgb_hwc.nbytes <= self._limit_bytes:
            self._last = image_rgb_hwc.copy(), digest
        return digest


def _are_equal(one_hwc: npt.NDArray[np.uint8], other_hwc: npt.NDArray[np.uint8]) -> bool:
    """Whether two pictures are the same, seen part by part: they mostly differ in the first."""
    if one_hwc.shape != other_hwc.shape:
        return False
    rows = max(1, _COMPARED_BYTES // max(1, one_hwc[:1].nbytes))
    return all(
        np.array_equal(one_hwc[top : top + rows], other_hwc[top : top + rows])
        for top in range(0, len(one_hwc), rows)
    )


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
