"""How many pixels masks have in common, pair by pair: counted once, kept for the next threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.sam2_engine.hardware.forking import ProcessLock
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.overlap import MaskRuns

__all__ = ["PairsOfMasks", "SharedPixels"]

Numbers = npt.NDArray[np.int64]

# Of masks and of pairs that are known at a time: 8 and 16 MB.
_MOST_MASKS = 2**16
_MOST_PAIRS = 2**20
_BYTES_OF_MASK = 128
_BITS_OF_NUMBER = 32


class _Pairs(NamedTuple):
    """Pairs of masks.

    Attributes:
        keys: int64, ascending: the lower number of a pair's masks, then the higher.
        common_px: int64: the pixels that both masks have.
    """

    keys: Numbers
    common_px: Numbers

    @classmethod
    def none(cls) -> _Pairs:
        """No pairs."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


class _Book:
    """Masks of one picture by the digests of their pixels, numbered, and known pairs of them."""

    def __init__(self) -> None:
        self.number_of: dict[bytes, int] = {}
        self.known = _Pairs.none()


class SharedPixels:
    """What is known of pairs of masks of one picture; bounded, safe from several threads.

    A pair is known by the pixels of its masks, so it does not matter which run, crop or cleaning
    they come from. When there are too many, what is known is forgotten, and counted again.
    """

    def __init__(self) -> None:
        self._book = _Book()
        self._lock = ProcessLock()

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now, about."""
        book = self._book
        return len(book.number_of) * _BYTES_OF_MASK + sum(column.nbytes for column in book.known)

    def among(self, masks: MaskSet) -> PairsOfMasks:
        """Pairs of the masks of a set, to be counted; :meth:`keep` them afterwards."""
        digests = [rle.digest for rle in masks.rles]
        with self._lock:
            if len(self._book.number_of) + len(digests) > _MOST_MASKS:
                self._book = _Book()
            book = self._book
            numbers = [book.number_of.setdefault(one, len(book.number_of)) for one in digests]
        return PairsOfMasks(masks, np.array(numbers, np.int64), book)

    def keep(self, pairs: PairsOfMasks) -> None:
        """Remembers what was counted."""
        new = pairs.counted()
        if not new.keys.size:
            return
        with self._lock:
            keys, first = np.unique(
                np.concatenate([pairs.book.known.keys, new.keys]), return_index=True
            )
            if len(keys) <= _MOST_PAIRS:
                common_px = np.concatenate([pairs.book.known.common_px, new.common_px])
                pairs.book.known = _Pairs(keys, common_px[first])
            else:
                pairs.book.known = _Pairs.none()


class PairsOfMasks:
    """The pixels that masks of one set share, looked up where they are known.

    Args:
        masks: The set.
        numbers: int64, n: of each mask in the book.
        book: What is known.
    """

    def __init__(self, masks: MaskSet, numbers: Numbers, book: _Book) -> None:
        self.book = book
        self._masks = masks
        self._numbers = numbers
        self._known = book.known
        self._runs: MaskRuns | None = None
        self._new: list[_Pairs] = []

    def common_px(self, one: int, others: Numbers) -> Numbers:
        """Counts the pixels that a mask shares with some others.

        Args:
            one: Its place in the set.
            others: Theirs.

        Returns:
            int64, one number for each of `others`.
        """
        mine, theirs = self._numbers[one], self._numbers[others]
        keys = (np.minimum(mine, theirs) << _BITS_OF_NUMBER) | np.maximum(mine, theirs)
        place = np.searchsorted(self._known.keys, keys)
        is_known = place < len(self._known.keys)
        is_known[is_known] = self._known.keys[place[is_known]] == keys[is_known]
        common_px = np.empty(len(others), np.int64)
        common_px[is_known] = self._known.common_px[place[is_known]]
        if not is_known.all():
            if self._runs is None:
                self._runs = MaskRuns(self._masks)
            new_px = self._runs.intersections_px(self._masks.rles[one].counts, others[~is_known])
            common_px[~is_known] = new_px
            self._new.append(_Pairs(keys[~is_known], new_px))
        return common_px

    def counted(self) -> _Pairs:
        """What was not known before; keys in no order."""
        columns = zip(_Pairs.none(), *self._new, strict=True)
        return _Pairs._make(np.concatenate(column) for column in columns)
