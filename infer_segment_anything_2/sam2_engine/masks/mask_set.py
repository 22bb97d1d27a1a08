"""The result of every verb: a frozen set of masks, run lengths until someone wants pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.sam2_engine.masks.rle import (
    Counts,
    area_px,
    compress,
    decode,
    decode_in_box,
    decompress,
    encode,
)

__all__ = ["MaskSet", "Rle", "mask_in_box"]

_DIGEST_BYTES = 16


@dataclass(frozen=True, eq=False)
class Rle:
    """One binary mask as column-major run lengths.

    Attributes:
        image_hw: Height and width of the picture.
        counts: uint32, run lengths as in `rle`; read-only.

    Raises:
        ValueError: When the runs do not fill the picture exactly.
    """

    image_hw: tuple[int, int]
    counts: Counts

    def __post_init__(self) -> None:
        """Checks the runs."""
        n_pixels = self.image_hw[0] * self.image_hw[1]
        covered = int(self.counts.sum(dtype=np.int64))
        if self.counts.dtype != np.uint32 or self.counts.ndim != 1 or covered != n_pixels:
            raise ValueError(
                f"Run lengths must be one row of uint32 with the sum {n_pixels} "
                f"(picture of {self.image_hw}), got {self.counts.dtype} {self.counts.shape} "
                f"with the sum {covered}."
            )
        object.__setattr__(self, "counts", _read_only(self.counts))

    @classmethod
    def from_mask(cls, mask_hw: npt.NDArray[np.bool_]) -> Rle:
        """Encodes a bool mask of H x W."""
        return cls((mask_hw.shape[0], mask_hw.shape[1]), encode(mask_hw))

    @classmethod
    def from_coco(cls, image_hw: tuple[int, int], text: str) -> Rle:
        """Reads COCO's compressed string."""
        return cls(image_hw, decompress(text))

    @property
    def area_px(self) -> int:
        """Number of ones."""
        return area_px(self.counts)

    @cached_property
    def digest(self) -> bytes:
        """Names the pixels: 16 bytes, the same for the same mask of the same picture size."""
        digest = blake2b(repr(self.image_hw).encode(), digest_size=_DIGEST_BYTES)
        digest.update(np.ascontiguousarray(self.counts).data)
        return digest.digest()

    def to_coco(self) -> dict[str, list[int] | str]:
        """Returns COCO's dict of `size` [h, w] and compressed `counts` (text, fit for JSON)."""
        return {"size": list(self.image_hw), "counts": compress(self.counts)}

    def decode(self) -> npt.NDArray[np.bool_]:
        """Draws the mask: bool, H x W, C order."""
        return decode(self.counts, self.image_hw)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same pixels of the same picture size."""
        if not isinstance(other, Rle):
            return NotImplemented
        return self.image_hw == other.image_hw and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        """Hash the pixels."""
        return hash((self.image_hw, self.counts.tobytes()))


@dataclass(frozen=True, eq=False)
class MaskSet:
    """n masks of one picture in ranked order, best first; immutable.

    Attributes:
        image_hw: Height and width of the picture.
        rles: The masks.
        boxes_xyxy_px: int64, n x 4: the outermost mask pixels, inclusive, as Meta's
            `batched_mask_to_box` gives them (all 0 for an empty mask).
        predicted_iou: float32, n: the network's own estimate of the mask's quality.
        stability_score: float32, n; nan where unknown.
        points_xy_px: float64, n x 2: the grid point that made the mask; nan for prompts.
        crop_boxes_xywh_px: int64, n x 4: the part of the picture that the network saw.
        object_index: int64, n: the prompt object that a mask belongs to (automatic: 0..n-1).

    Raises:
        ValueError: When a shape, a type or a mask's picture size disagrees with the others.
    """

    image_hw: tuple[int, int]
    rles: tuple[Rle, ...]
    boxes_xyxy_px: npt.NDArray[np.int64]
    predicted_iou: npt.NDArray[np.float32]
    stability_score: npt.NDArray[np.float32]
    points_xy_px: npt.NDArray[np.float64]
    crop_boxes_xywh_px: npt.NDArray[np.int64]
    object_index: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Checks that all columns agree."""
        n_masks = len(self.rles)
        if wrong_sizes := {rle.image_hw for rle in self.rles} - {self.image_hw}:
            raise ValueError(f"A set of {self.image_hw} got masks of {sorted(wrong_sizes)}.")
        for name, (row_shape, dtype) in _COLUMNS.items():
            column = getattr(self, name)
            if column.shape != (n_masks, *row_shape) or column.dtype != dtype:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} of shape {(n_masks, *row_shape)}, "
                    f"got {column.dtype} of shape {column.shape}."
                )
            object.__setattr__(self, name, _read_only(column))

    @staticmethod
    def empty(image_hw: tuple[int, int]) -> MaskSet:
        """Returns the set of no masks."""
        columns = {name: np.empty((0, *row), dtype) for name, (row, dtype) in _COLUMNS.items()}
        return MaskSet(image_hw, (), **columns)

    @staticmethod
    def concatenate(sets: Sequence[MaskSet]) -> MaskSet:
        """Joins sets of one picture in the given order; `object_index` is kept as it is.

        Raises:
            ValueError: When there is nothing to join, or the pictures' sizes differ.
        """
        if not sets:
            raise ValueError("Nothing to join: the picture's size would be unknown.")
        columns = {
            name: np.concatenate([getattr(masks, name) for masks in sets]) for name in _COLUMNS
        }
        return MaskSet(
            sets[0].image_hw, tuple(rle for masks in sets for rle in masks.rles), **columns
        )

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.rles)

    def select(self, indices: npt.ArrayLike) -> MaskSet:
        """Returns the masks at `indices` (integers, in that order)."""
        chosen = np.asarray(indices, np.int64)
        columns = {name: getattr(self, name)[chosen] for name in _COLUMNS}
        return MaskSet(self.image_hw, tuple(self.rles[i] for i in chosen), **columns)

    def to_dense(self) -> npt.NDArray[np.bool_]:
        """Draws all masks: bool, n x H x W. The only place that takes that much memory."""
        masks_nhw = np.empty((len(self), *self.image_hw), bool)
        for mask_hw, rle in zip(masks_nhw, self.rles, strict=True):
            mask_hw[...] = rle.decode()
        return masks_nhw


# The columns of a set: the shape of one row and the type.
_COLUMNS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "boxes_xyxy_px": ((4,), np.int64),
    "predicted_iou": ((), np.float32),
    "stability_score": ((), np.float32),
    "points_xy_px": ((2,), np.float64),
    "crop_boxes_xywh_px": ((4,), np.int64),
    "object_index": ((), np.int64),
}


def _read_only(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    view = array.view()
    view.flags.writeable = False
    return view


def mask_in_box(rle: Rle) -> tuple[npt.NDArray[np.bool_], tuple[int, int]]:
    """Decodes only the part of a mask that holds any of it.

    Returns:
        The mask inside its tight box, bool h x w (0 x 0 for an empty mask), and the box's left
        upper pixel (x, y).
    """
    return decode_in_box(rle.counts, rle.image_hw)
