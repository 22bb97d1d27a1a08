"""What several benchmarks need: pictures and networks by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from sam2.modeling.sam2_base import SAM2Base
from skimage import data, io, transform

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.overlap import MaskRuns
from tests.blobs import blob_network
from tests.networks import nano_network

Image = npt.NDArray[np.uint8]


def load_picture(name: str, megapixels: float) -> Image:
    """Loads a picture, scaled to a size if one is wanted."""
    picture = io.imread(name) if Path(name).exists() else getattr(data, name)()
    if megapixels:
        scale = (megapixels * 1e6 / (picture.shape[0] * picture.shape[1])) ** 0.5
        hw = (round(picture.shape[0] * scale), round(picture.shape[1] * scale))
        picture = transform.resize(picture, hw, order=1, preserve_range=True).astype(np.uint8)
    return np.ascontiguousarray(picture[..., :3])


def network_named(name: str) -> SAM2Base:
    """Makes the bundled network, or an official one of which a few weights are fitted.

    Args:
        name: "nano", "sam2_demo_nano" or an official name.
    """
    return nano_network() if name in ("nano", "sam2_demo_nano") else blob_network(name)


def agreement(masks: MaskSet, records: list[dict[str, Any]]) -> str:
    """Tell how many masks each side has, and how well each of Meta's is matched by one of ours."""
    if not len(masks) or not records:
        return f"{len(masks)} of {len(records)}"
    mine = [rle.to_coco() for rle in masks.rles]
    theirs = [
        coco.frPyObjects(record["segmentation"], *record["segmentation"]["size"])
        for record in records
    ]
    best = coco.iou(mine, theirs, [0] * len(theirs)).max(axis=0)
    return f"{len(masks)} of {len(records)}, matched IoU {best.mean():.4f}, least {best.min():.3f}"


def n_found(masks: MaskSet, wanted: Sequence[Rle], least_iou: float) -> int:
    """How many of the wanted masks some mask shows with an IoU of at least so much."""
    runs, everyone = MaskRuns(masks), np.arange(len(masks))
    areas_px = np.array([rle.area_px for rle in masks.rles], np.int64)
    count = 0
    for rle in wanted:
        common_px = runs.intersections_px(rle.counts, everyone)
        iou = common_px / np.maximum(areas_px + rle.area_px - common_px, 1)
        count += bool(iou.max(initial=0) >= least_iou)
    return count
