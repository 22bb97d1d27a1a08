"""What was worked out of the masks of one picture, kept from run to run while thresholds change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from infer_segment_anything_2.sam2_engine.image.embedding_cache import EmbeddingCache
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.masks.rle import Counts, bounding_box_xyxy_px
from infer_segment_anything_2.sam2_engine.masks.shared_pixels import SharedPixels

__all__ = ["Reshaped", "WorkedOut"]

_MOST_RESHAPED_BYTES = 32 * 2**20
# Of a kept value beside its run lengths.
_BYTES_OF_ENTRY = 512


class Reshaped(NamedTuple):
    """What became of one mask when its small regions were cleaned.

    Attributes:
        rle: The new mask; None where the old one stays.
        box_xyxy_px: The outermost pixels of the new one, inclusive.
    """

    rle: Rle | None
    box_xyxy_px: tuple[int, int, int, int]

    @classmethod
    def of(cls, before: Rle, counts: Counts) -> Reshaped:
        """A mask with other run lengths; with the very same ones it stays."""
        if counts is before.counts:
            return cls(None, (0, 0, 0, 0))
        return cls(Rle(before.image_hw, counts), bounding_box_xyxy_px(counts, before.image_hw))


def _bytes_of(reshaped: Reshaped) -> int:
    return _BYTES_OF_ENTRY + (reshaped.rle.counts.nbytes if reshaped.rle is not None else 0)


@dataclass(frozen=True, eq=False)
class WorkedOut:
    """All that depends on single masks and pairs of them, not on which others were found.

    Bounded, and safe from several threads.

    Attributes:
        shared: Pixels that pairs of masks share.
        reshaped: Cleaned masks, by the pixels they had and by what was done.
    """

    shared: SharedPixels = field(default_factory=SharedPixels)
    reshaped: EmbeddingCache[Reshaped] = field(
        default_factory=lambda: EmbeddingCache(_MOST_RESHAPED_BYTES, _bytes_of)
    )

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now, about."""
        return self.shared.nbytes + self.reshaped.nbytes
