"""Masks as prompts, out of pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.prompts import PromptMask
from infer_segment_anything_2.sam2_reading.prompt_masks import mask_from_picture

BLOB = np.zeros((20, 30), bool)
BLOB[4:10, 6:20] = True


class TestMaskFromPicture:
    @pytest.mark.parametrize(
        "picture",
        [
            pytest.param(BLOB, id="bool"),
            pytest.param(BLOB.astype(np.uint8), id="0 and 1"),
            pytest.param(BLOB * np.uint8(255), id="0 and 255"),
            pytest.param(BLOB * np.uint16(65535), id="16 bits"),
            pytest.param(BLOB * np.float32(0.7), id="float"),
            pytest.param(np.where(BLOB, 250, 9).astype(np.uint8), id="JPEG's noise"),
            pytest.param(BLOB[..., None] * np.array([0, 255, 0], np.uint8), id="colours"),
            pytest.param(
                np.dstack([BLOB * np.uint8(255)] * 3 + [np.full(BLOB.shape, 255, np.uint8)]),
                id="alpha",
            ),
            pytest.param(
                np.dstack([BLOB * np.uint8(255), np.full(BLOB.shape, 255, np.uint8)]),
                id="grey and alpha",
            ),
        ],
    )
    def test_finds_what_is_bright(self, picture: npt.NDArray[np.generic]) -> None:
        assert mask_from_picture(picture) == PromptMask(BLOB)

    def test_of_nothing_bright_is_none(self) -> None:
        assert mask_from_picture(np.zeros((4, 5), np.uint8)) is None
        assert mask_from_picture(np.full((4, 5), -1.0)) is None

    @pytest.mark.parametrize(
        "picture", [None, "mask", np.zeros(3), np.zeros((0, 4)), np.zeros((2, 2), "U3")]
    )
    def test_of_no_picture_is_refused(self, picture: object) -> None:
        with pytest.raises(ImageError, match="A mask must be"):
            mask_from_picture(picture)
