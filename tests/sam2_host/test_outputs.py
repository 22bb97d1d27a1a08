"""Masks in the host's own IO classes: overlap, many masks, classes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.painting import instance_colours, paint_labels

pytestmark = pytest.mark.ikomia

IMAGE_HW = (60, 100)


def make_masks(masks_nhw: np.ndarray) -> MaskSet:
    rles = tuple(Rle.from_mask(mask_hw) for mask_hw in masks_nhw)
    count = len(rles)
    boxes = []
    for mask_hw in masks_nhw:
        rows, columns = np.nonzero(mask_hw)
        boxes.append([columns.min(), rows.min(), columns.max(), rows.max()])
    return MaskSet(
        image_hw=IMAGE_HW,
        rles=rles,
        boxes_xyxy_px=np.array(boxes, np.int64).reshape(count, 4),
        predicted_iou=np.linspace(0.9, 0.1, count, dtype=np.float32),
        stability_score=np.ones(count, np.float32),
        points_xy_px=np.zeros((count, 2)),
        crop_boxes_xywh_px=np.zeros((count, 4), np.int64),
        object_index=np.arange(count),
    )


def rectangle(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask_hw = np.zeros(IMAGE_HW, bool)
    mask_hw[top : top + height, left : left + width] = True
    return mask_hw


@pytest.fixture
def big_and_small() -> MaskSet:
    return make_masks(np.stack([rectangle(5, 5, 40, 60), rectangle(10, 10, 8, 8)]))


class TestInstanceMasksIO:
    def test_keeps_overlapping_masks_whole(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import InstanceMasksIO

        shown = InstanceMasksIO(rank=1)
        shown.show("task", big_and_small, ["object", "object"], instance_colours(2))
        dense = big_and_small.to_dense()
        for instance, mask_hw in zip(shown.get_objects(), dense, strict=True):
            assert np.array_equal(instance.mask, mask_hw * np.uint8(255))

    def test_carries_class_names(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import InstanceMasksIO

        shown = InstanceMasksIO(rank=1)
        shown.show("task", big_and_small, ["car", "wheel"], instance_colours(2))
        assert [instance.label for instance in shown.get_objects()] == ["car", "wheel"]
        assert [instance.class_index for instance in shown.get_objects()] == [0, 1]

    def test_shows_again_without_accumulating(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import InstanceMasksIO

        shown = InstanceMasksIO(rank=1)
        for _ in range(2):
            shown.show("task", big_and_small, ["object", "object"], instance_colours(2))
        assert shown.get_object_count() == 2
        assert shown.masks is big_and_small

    def test_holds_no_more_than_the_limit(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import InstanceMasksIO

        shown = InstanceMasksIO(rank=1)
        one_mask = IMAGE_HW[0] * IMAGE_HW[1]
        left_out = shown.show(
            "task",
            big_and_small,
            ["object", "object"],
            instance_colours(2),
            one_mask,
        )
        assert left_out == 1
        assert shown.get_object_count() == 1
        assert shown.masks is big_and_small

    def test_forgets_when_cleared(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import InstanceMasksIO

        shown = InstanceMasksIO(rank=1)
        shown.show("task", big_and_small, ["object", "object"], instance_colours(2))
        shown.clear_data()
        assert shown.masks is None
        assert not shown.is_data_available()


class TestPictureIO:
    @pytest.mark.parametrize("kind", ["masks", "labels"])
    def test_paints_the_smaller_on_top(self, big_and_small: MaskSet, kind: str) -> None:
        from infer_segment_anything_2.sam2_host.outputs import (
            InstanceMasksIO,
            LabelPictureIO,
            PictureIO,
            show_labels,
        )

        picture = PictureIO()
        picture.set_image(np.full((*IMAGE_HW, 3), 100, np.uint8))
        if kind == "masks":
            shown = InstanceMasksIO(rank=1)
            shown.show("task", big_and_small, ["object", "object"], instance_colours(2))
        else:
            shown = LabelPictureIO()
            show_labels(shown, big_and_small, instance_colours(2))
        painted = picture.get_image_with_mask(shown)
        big, small, background = painted[30, 40], painted[14, 14], painted[55, 90]
        assert (background == 100).all()
        assert not np.array_equal(big, small)
        assert not np.array_equal(big, background) and not np.array_equal(small, background)

    def test_more_than_255_masks_each_have_a_colour(self) -> None:
        from infer_segment_anything_2.sam2_host.outputs import InstanceMasksIO, PictureIO

        corners = list(product(range(0, 60, 3), range(0, 100, 5)))
        masks = make_masks(np.stack([rectangle(top, left, 3, 5) for top, left in corners]))
        assert len(masks) == 400
        picture = PictureIO()
        picture.set_image(np.full((*IMAGE_HW, 3), 100, np.uint8))
        shown = InstanceMasksIO(rank=1)
        shown.show("task", masks, ["object"] * len(masks), instance_colours(len(masks)))
        painted = picture.get_image_with_mask(shown)
        colours = {tuple(painted[top + 1, left + 2]) for top, left in corners}
        assert len(colours) > 380  # 8-bit rounding lets a few coincide

    def test_leaves_other_outputs_to_the_host(self) -> None:
        from ikomia import dataprocess

        from infer_segment_anything_2.sam2_host.outputs import PictureIO

        picture = PictureIO()
        picture.set_image(np.full((*IMAGE_HW, 3), 100, np.uint8))
        theirs = dataprocess.CInstanceSegmentationIO()
        theirs.init("other", 0, IMAGE_HW[1], IMAGE_HW[0])
        mask_hw = rectangle(5, 5, 10, 10).astype(np.uint8) * 255
        theirs.add_object(0, 0, 0, "x", 0.5, 5.0, 5.0, 10.0, 10.0, mask_hw, [255, 0, 0])
        assert picture.get_image_with_mask(theirs).shape == (*IMAGE_HW, 3)


class TestLabelPictureIO:
    def test_has_one_integer_per_mask(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import LabelPictureIO, show_labels

        shown = LabelPictureIO()
        show_labels(shown, big_and_small, instance_colours(2))
        labels_hw = shown.get_image()
        assert labels_hw[30, 40] == 1 and labels_hw[14, 14] == 2 and labels_hw[55, 90] == 0


class TestOverlay:
    def test_is_transparent_where_there_is_no_mask(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import overlay_rgba

        layer = overlay_rgba(big_and_small, instance_colours(2))
        assert layer.shape == (*IMAGE_HW, 4)
        assert np.array_equal(layer[..., 3] > 0, big_and_small.to_dense().any(axis=0))

    def test_has_the_colour_of_each_label(self, big_and_small: MaskSet) -> None:
        from infer_segment_anything_2.sam2_host.outputs import overlay_rgba

        for masks in (big_and_small, big_and_small.select(np.array([1]))):
            colours = np.zeros((len(masks) + 1, 4), np.uint8)
            colours[1:] = np.concatenate(
                [instance_colours(len(masks)), np.full((len(masks), 1), 255)], axis=1
            )
            layer = overlay_rgba(masks, instance_colours(len(masks)))
            assert np.array_equal(layer, colours[paint_labels(masks)])
