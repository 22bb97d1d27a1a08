import dataclasses
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle, mask_in_box

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Mask = npt.NDArray[np.bool_]

HW = (4, 6)
ANY_MASK = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9))


def some_masks(n: int) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(n).random((n, *HW)) < 0.5


def some_set(n: int) -> MaskSet:
    return MaskSet(
        image_hw=HW,
        rles=tuple(Rle.from_mask(mask) for mask in some_masks(n)),
        boxes_xyxy_px=np.arange(4 * n).reshape(n, 4),
        predicted_iou=np.linspace(1, 0, n, dtype=np.float32),
        stability_score=np.full(n, np.nan, np.float32),
        points_xy_px=np.arange(2.0 * n).reshape(n, 2),
        crop_boxes_xywh_px=np.tile([0, 0, 6, 4], (n, 1)),
        object_index=np.arange(n),
    )


class TestRle:
    def test_decodes_what_it_was_made_of(self) -> None:
        mask = some_masks(1)[0]
        rle = Rle.from_mask(mask)
        assert np.array_equal(rle.decode(), mask)
        assert rle.area_px == mask.sum()

    def test_speaks_coco(self) -> None:
        rle = Rle.from_mask(some_masks(1)[0])
        record = json.loads(json.dumps(rle.to_coco()))
        assert np.array_equal(coco.decode(record), rle.decode())
        assert Rle.from_coco(HW, record["counts"]) == rle

    def test_is_compared_by_its_pixels(self) -> None:
        first, second = some_masks(2)
        assert Rle.from_mask(first) == Rle.from_mask(first.copy())
        assert len({Rle.from_mask(first), Rle.from_mask(first.copy())}) == 1
        assert Rle.from_mask(first) != Rle.from_mask(second)
        assert Rle.from_mask(np.zeros((2, 3), bool)) != Rle.from_mask(np.zeros((3, 2), bool))
        assert Rle.from_mask(first) != "a mask"

    def test_refuses_runs_that_do_not_fill_the_picture(self) -> None:
        with pytest.raises(ValueError, match=r"sum 24 \(picture of \(4, 6\)\), got uint32 \(2,\)"):
            Rle(HW, np.array([20, 3], np.uint32))

    def test_cannot_be_written_to(self) -> None:
        counts = np.array([20, 4], np.uint32)
        rle = Rle(HW, counts)
        with pytest.raises(ValueError, match="read-only"):
            rle.counts[0] = 1
        assert counts.flags.writeable


class TestMaskSet:
    def test_draws_all_masks(self) -> None:
        assert np.array_equal(some_set(3).to_dense(), some_masks(3))

    def test_may_be_empty(self) -> None:
        empty = MaskSet.empty(HW)
        assert len(empty) == 0
        assert empty.to_dense().shape == (0, *HW)
        assert len(empty.select([])) == 0

    def test_selects_in_the_given_order(self) -> None:
        masks = some_set(4)
        chosen = masks.select([3, 1])
        assert chosen.rles == (masks.rles[3], masks.rles[1])
        assert chosen.object_index.tolist() == [3, 1]
        assert np.array_equal(chosen.boxes_xyxy_px, masks.boxes_xyxy_px[[3, 1]])
        assert np.array_equal(chosen.to_dense(), masks.to_dense()[[3, 1]])

    def test_joins_in_the_given_order(self) -> None:
        joined = MaskSet.concatenate([some_set(2), MaskSet.empty(HW), some_set(1)])
        assert joined.rles == some_set(2).rles + some_set(1).rles
        assert joined.object_index.tolist() == [0, 1, 0]

    def test_does_not_join_nothing(self) -> None:
        with pytest.raises(ValueError, match="Nothing to join"):
            MaskSet.concatenate([])

    def test_does_not_join_two_picture_sizes(self) -> None:
        with pytest.raises(ValueError, match=r"A set of \(4, 6\) got masks of \[\(1, 1\)\]"):
            dataclasses.replace(some_set(1), rles=(Rle.from_mask(np.ones((1, 1), bool)),))

    @pytest.mark.parametrize(
        ("name", "wrong", "message"),
        [
            pytest.param(
                "boxes_xyxy_px",
                np.zeros((3, 4), np.int64),
                r"boxes_xyxy_px must be int64 of shape \(2, 4\), got int64 of shape \(3, 4\)",
                id="one too many",
            ),
            pytest.param(
                "predicted_iou",
                np.zeros(2),
                r"predicted_iou must be float32 of shape \(2,\), got float64",
                id="wrong type",
            ),
        ],
    )
    def test_refuses_columns_that_disagree(
        self, name: str, wrong: npt.NDArray[np.generic], message: str
    ) -> None:
        good = some_set(2)
        columns = {field.name: getattr(good, field.name) for field in dataclasses.fields(good)}
        with pytest.raises(ValueError, match=message):
            MaskSet(**{**columns, name: wrong})

    def test_cannot_be_written_to(self) -> None:
        masks = some_set(2)
        with pytest.raises(ValueError, match="read-only"):
            masks.predicted_iou[0] = 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            masks.image_hw = (1, 1)  # type: ignore[misc]


class TestMaskInBox:
    @given(ANY_MASK)
    def test_puts_the_mask_back_where_it_was(self, mask_hw: Mask) -> None:
        part_hw, (left, top) = mask_in_box(Rle.from_mask(mask_hw))
        again_hw = np.zeros_like(mask_hw)
        again_hw[top : top + part_hw.shape[0], left : left + part_hw.shape[1]] = part_hw
        assert np.array_equal(again_hw, mask_hw)

    @given(ANY_MASK.filter(np.any))
    def test_is_tight(self, mask_hw: Mask) -> None:
        part_hw, _ = mask_in_box(Rle.from_mask(mask_hw))
        assert part_hw[[0, -1]].any(axis=1).all()
        assert part_hw[:, [0, -1]].any(axis=0).all()

    def test_an_empty_mask_has_no_box(self) -> None:
        part_hw, corner = mask_in_box(Rle.from_mask(np.zeros((3, 4), bool)))
        assert part_hw.shape == (0, 0)
        assert corner == (0, 0)

    def test_takes_runs_of_length_zero(self) -> None:
        counts = np.array([1, 2, 0, 1, 1, 0, 4], np.uint32)
        part_hw, corner = mask_in_box(Rle((3, 3), counts))
        assert corner == (0, 0)
        assert part_hw.tolist() == [[False, True], [True, False], [True, False]]
