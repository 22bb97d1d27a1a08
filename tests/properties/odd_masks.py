"""Masks of any kind, through records and back."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px
from infer_segment_anything_2.sam2_results.painting import paint_labels
from infer_segment_anything_2.sam2_results.records import records
from tests.properties.bad_pictures import SIDES
from tests.properties.judging import VALID, Area


@dataclass(frozen=True)
class MasksCase:
    """How to make some masks of one size."""

    image_hw: tuple[int, int]
    densities: list[float]
    seed: int = 0

    def make(self) -> npt.NDArray[np.bool_]:
        """The masks, n x H x W: noise, all, nothing or a rectangle."""
        random = np.random.default_rng(self.seed)
        masks_nhw = np.zeros((len(self.densities), *self.image_hw), bool)
        for mask_hw, density in zip(masks_nhw, self.densities, strict=True):
            if density < 0:
                rows, columns = (np.sort(random.integers(0, n + 1, 2)) for n in self.image_hw)
                mask_hw[rows[0] : rows[1], columns[0] : columns[1]] = True
            else:
                mask_hw[...] = random.random(self.image_hw) < density
        return masks_nhw


def judge_masks(case: MasksCase) -> str:
    """Masks to run lengths, COCO's text and records, and back."""
    masks_nhw = case.make()
    count = len(masks_nhw)
    random = np.random.default_rng(case.seed)
    rles = tuple(Rle.from_mask(mask_hw) for mask_hw in masks_nhw)
    masks = MaskSet(
        image_hw=case.image_hw,
        rles=rles,
        boxes_xyxy_px=np.array(
            [bounding_box_xyxy_px(rle.counts, case.image_hw) for rle in rles], np.int64
        ).reshape(count, 4),
        predicted_iou=random.choice([0.5, np.nan, np.inf, 1.0], count).astype(np.float32),
        stability_score=random.choice([0.5, np.nan, -np.inf, 1.0], count).astype(np.float32),
        points_xy_px=random.choice([3.25, np.nan, np.inf], (count, 2)),
        crop_boxes_xywh_px=np.tile([0, 0, *case.image_hw[::-1]], (count, 1)).reshape(count, 4),
        object_index=np.arange(count),
    )
    assert np.array_equal(masks.to_dense(), masks_nhw)
    listed = json.loads(json.dumps(records(masks), allow_nan=False))
    for record, mask_hw, box in zip(listed, masks_nhw, masks.boxes_xyxy_px, strict=True):
        segmentation = record["segmentation"]
        again = Rle.from_coco(
            (segmentation["size"][0], segmentation["size"][1]), segmentation["counts"]
        )
        assert np.array_equal(again.decode(), mask_hw)
        assert record["area"] == mask_hw.sum()
        if mask_hw.any():
            down, across = np.nonzero(mask_hw)
            assert box.tolist() == [across.min(), down.min(), across.max(), down.max()]
    labels_hw = paint_labels(masks)
    assert np.array_equal(labels_hw > 0, masks_nhw.any(axis=0))
    return VALID


MASK_AREAS = (
    Area(
        "masks to records and back",
        st.builds(
            MasksCase,
            st.one_of(SIDES, st.sampled_from([(1, 1), (1, 5000), (5000, 1), (300, 400)])),
            st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 0.01, 0.99]), max_size=5),
            st.integers(0, 2**32 - 1),
        ),
        judge_masks,
        1200,
    ),
)
