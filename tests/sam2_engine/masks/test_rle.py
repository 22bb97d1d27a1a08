import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from infer_segment_anything_2.sam2_engine.masks import rle
from infer_segment_anything_2.sam2_engine.masks.rle import (
    area_px,
    bounding_box_xyxy_px,
    compress,
    counts_from_changes,
    decode,
    decode_in_box,
    decompress,
    draw,
    encode,
    place_in_image,
    runs_of_ones,
)

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Mask = npt.NDArray[np.bool_]

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
run_lengths = st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=40)

ONE_OFF = pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((1, 1), bool), id="one zero"),
        pytest.param(np.ones((1, 1), bool), id="one one"),
        pytest.param(np.zeros((3, 5), bool), id="nothing"),
        pytest.param(np.ones((5, 3), bool), id="all"),
        pytest.param(np.eye(7, dtype=bool), id="diagonal"),
        pytest.param(np.ones((1, 9), bool), id="one row"),
        pytest.param(np.indices((400, 300)).sum(0) % 2 == 0, id="chessboard"),
        pytest.param(np.hypot(*(np.indices((700, 900)) - 350)) < 300, id="disc"),
    ],
)


def judge(mask: Mask) -> dict[str, object]:
    """pycocotools' own encoding."""
    judged: dict[str, object] = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return judged


class TestEncode:
    @ONE_OFF
    def test_equals_pycocotools(self, mask: Mask) -> None:
        assert compress(encode(mask)).encode() == judge(mask)["counts"]

    @given(masks)
    def test_equals_pycocotools_on_any_mask(self, mask: Mask) -> None:
        assert compress(encode(mask)).encode() == judge(mask)["counts"]

    def test_reads_any_memory_order(self) -> None:
        mask = np.random.default_rng(0).random((20, 31)) < 0.5
        assert np.array_equal(encode(mask), encode(np.asfortranarray(mask)))
        assert np.array_equal(encode(mask[::-1, ::2]), encode(mask[::-1, ::2].copy()))


class TestCountsFromChanges:
    @pytest.mark.parametrize(
        ("changes", "counts"),
        [
            pytest.param([], [6], id="no change"),
            pytest.param([6], [6], id="a change past the end"),
            pytest.param([0], [0, 6], id="ones from the start"),
            pytest.param([2, 2], [6], id="there and back"),
            pytest.param([0, 0, 1, 2, 2, 2, 6, 6], [1, 1, 4], id="several at one place"),
        ],
    )
    def test_gives_canonical_counts(self, changes: list[int], counts: list[int]) -> None:
        assert counts_from_changes(np.array(changes, np.int64), 6).tolist() == counts

    @given(st.lists(st.integers(0, 30), max_size=40).map(sorted))
    def test_equals_toggling_one_by_one(self, changes: list[int]) -> None:
        toggled = np.zeros(31, bool)
        for change in changes:
            toggled[change:] ^= True
        expected = encode(toggled[:30].reshape(1, 30))
        assert np.array_equal(counts_from_changes(np.array(changes, np.int64), 30), expected)


class TestDecode:
    @given(masks)
    def test_gives_back_what_was_encoded(self, mask: Mask) -> None:
        decoded = decode(encode(mask), (mask.shape[0], mask.shape[1]))
        assert decoded.dtype == bool
        assert decoded.flags.c_contiguous
        assert np.array_equal(decoded, mask)

    @ONE_OFF
    @pytest.mark.parametrize("side_px", [1, 1300])  # a side of more than a megapixel, and wide
    @pytest.mark.parametrize("value", [1, 255])
    def test_draws_large_pictures_too(self, mask: Mask, side_px: int, value: int) -> None:
        padded = np.pad(mask, [(side_px, 0), (0, side_px)])
        drawn = draw(encode(padded), (padded.shape[0], padded.shape[1]), value)
        assert drawn.dtype == np.uint8
        assert drawn.flags.c_contiguous
        assert np.array_equal(drawn, padded * np.uint8(value))


class TestDecodeInBox:
    @ONE_OFF
    def test_equals_the_part_of_the_whole(self, mask: Mask) -> None:
        self.check(encode(mask), mask)

    @given(masks, st.booleans())
    def test_equals_it_for_any_mask_and_either_way_of_filling(
        self, mask: Mask, is_wide: bool
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rle, "_WIDE_PX", 0 if is_wide else 100)
            self.check(encode(mask), mask)

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
    def test_takes_runs_of_length_zero(self, lengths: list[int]) -> None:
        counts = np.array([*lengths, 12 - sum(lengths) % 12], np.uint32)
        hw = (4, int(counts.sum()) // 4)
        is_one = np.arange(counts.size) % 2 == 1
        self.check(counts, np.repeat(is_one, counts).reshape(hw[1], hw[0]).T)

    @staticmethod
    def check(counts: npt.NDArray[np.uint32], mask: Mask) -> None:
        part, (left, top) = decode_in_box(counts, (mask.shape[0], mask.shape[1]))
        assert part.dtype == bool
        assert part.flags.c_contiguous
        again = np.zeros_like(mask)
        again[top : top + part.shape[0], left : left + part.shape[1]] = part
        assert np.array_equal(again, mask)
        assert part.any() == (part.size > 0)


class TestAreaAndBox:
    @ONE_OFF
    def test_equal_pycocotools(self, mask: Mask) -> None:
        self.check(mask)

    @given(masks)
    def test_equal_pycocotools_on_any_mask(self, mask: Mask) -> None:
        self.check(mask)

    @staticmethod
    def check(mask: Mask) -> None:
        counts = encode(mask)
        assert area_px(counts) == coco.area(judge(mask)) == mask.sum()
        rows, columns = np.nonzero(mask)
        outermost = (
            (columns.min(), rows.min(), columns.max(), rows.max()) if rows.size else (0, 0, 0, 0)
        )
        assert bounding_box_xyxy_px(counts, (mask.shape[0], mask.shape[1])) == outermost


class TestRunsOfOnes:
    @given(masks)
    def test_name_all_ones_and_nothing_else(self, mask: Mask) -> None:
        drawn = np.zeros(mask.size, bool)
        for start, end in zip(*runs_of_ones(encode(mask)), strict=True):
            drawn[start:end] = True
        assert np.array_equal(drawn, mask.ravel(order="F"))


class TestPlaceInImage:
    @given(masks, st.tuples(*[st.integers(0, 3)] * 4))
    def test_equals_padding_the_pixels(
        self, mask: Mask, margins: tuple[int, int, int, int]
    ) -> None:
        left, top, right, bottom = margins
        whole = np.pad(mask, ((top, bottom), (left, right)))
        placed = place_in_image(
            encode(mask),
            (mask.shape[0], mask.shape[1]),
            (left, top),
            (whole.shape[0], whole.shape[1]),
        )
        assert np.array_equal(placed, encode(whole))


class TestCompress:
    @given(run_lengths, st.booleans())
    @settings(max_examples=300)
    def test_comes_back(self, lengths: list[int], starts_with_ones: bool) -> None:
        counts = np.array([0, *lengths] if starts_with_ones else lengths, np.uint32)
        assert np.array_equal(decompress(compress(counts)), counts)

    @given(st.lists(st.integers(1, 2**22), min_size=1, max_size=40))
    def test_equals_pycocotools_on_long_runs(self, lengths: list[int]) -> None:
        judged = coco.frPyObjects({"size": [1, sum(lengths)], "counts": lengths}, 1, sum(lengths))
        assert compress(np.array(lengths, np.uint32)).encode() == judged["counts"]

    @ONE_OFF
    def test_is_read_by_pycocotools(self, mask: Mask) -> None:
        written = {"size": list(mask.shape), "counts": compress(encode(mask))}
        assert np.array_equal(coco.decode(written), mask)


class TestDecompress:
    @ONE_OFF
    def test_reads_pycocotools(self, mask: Mask) -> None:
        text = judge(mask)["counts"]
        assert isinstance(text, bytes)
        assert np.array_equal(decompress(text.decode()), encode(mask))
