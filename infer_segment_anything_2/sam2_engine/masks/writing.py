"""From small logits to masks in the picture's size, on a CPU one by one, on a GPU together."""

from __future__ import annotations

from torch import Tensor

from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.masks.tracing import counts_from_logits
from infer_segment_anything_2.sam2_engine.masks.tracing_in_bulk import counts_in_bulk
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling

__all__ = ["rles_from_logits"]


def rles_from_logits(
    logits_nhw: Tensor,
    upsampling: Upsampling,
    mask_threshold: float,
    crop_xy_px: tuple[int, int],
    image_hw: tuple[int, int],
) -> list[Rle]:
    """Writes masks of a crop as run lengths of the whole picture, without ever drawing one.

    Args:
        logits_nhw: float32, n x h x w.
        upsampling: To the crop's size; says also which way is taken.
        mask_threshold: A pixel belongs to the mask when its logit is above.
        crop_xy_px: Where the crop's upper left pixel lies in the picture.
        image_hw: Height and width of the picture.
    """
    where = (upsampling, mask_threshold, crop_xy_px, image_hw)
    if upsampling.in_bulk:
        counts = counts_in_bulk(logits_nhw, *where)
    else:
        counts = [counts_from_logits(logits_hw, *where) for logits_hw in logits_nhw.cpu().numpy()]
    return [Rle(image_hw, mask) for mask in counts]
