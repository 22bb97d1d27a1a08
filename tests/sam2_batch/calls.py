"""Calls of the command line, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle

HW = (48, 64)
POINT = ("--point", "20,24")


def segment(*words: str | Path) -> int:
    return main(["segment", *map(str, words), "--model-name", "sam2_demo_nano", "--no-cuda"])


def mask_of(path: Path) -> np.ndarray:
    """The first mask of a COCO file."""
    annotation = json.loads(path.read_text())["annotations"][0]["segmentation"]
    return Rle.from_coco(tuple(annotation["size"]), annotation["counts"]).decode()
