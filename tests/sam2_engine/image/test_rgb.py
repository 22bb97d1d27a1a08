"""Any picture as 8-bit RGB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from tests.sam2_engine.image.noise import noise

RAMP = np.arange(12).reshape(3, 4)


class TestToRgb8Channels:
    @pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2)], ids=str)
    def test_one_and_two_are_grey(self, shape: tuple[int, ...]) -> None:
        image = np.zeros(shape, np.uint8)
        image.reshape(3, 4, -1)[..., 0] = RAMP
        rgb = to_rgb8(image)
        assert rgb.shape == (3, 4, 3)
        for channel in range(3):
            assert np.array_equal(rgb[..., channel], RAMP)

    def test_three_are_taken_as_they_are(self) -> None:
        image = noise(5, 6)
        assert np.array_equal(to_rgb8(image), image)

    def test_alpha_is_dropped(self) -> None:
        image = noise(5, 6)
        alpha = np.full((5, 6, 1), 7, np.uint8)
        assert np.array_equal(to_rgb8(np.concatenate([image, alpha], axis=2)), image)

    def test_two_dimensions_are_grey_also_when_four_wide(self) -> None:
        image = np.arange(20, dtype=np.uint8).reshape(5, 4)
        assert np.array_equal(to_rgb8(image), np.repeat(image[..., None], 3, axis=2))

    def test_alpha_does_not_move_the_range(self) -> None:
        image = np.zeros((2, 2, 4), np.float32)
        image[..., 0] = [[0.0, 1.0], [0.5, 0.0]]
        image[..., 3] = 255
        assert to_rgb8(image)[..., 0].tolist() == [[0, 255], [128, 0]]


class TestToRgb8Values:
    @pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4"])
    def test_values_from_0_to_255_are_taken_as_they_are(self, dtype: str) -> None:
        assert np.array_equal(to_rgb8(RAMP.astype(dtype))[..., 0], RAMP)

    @pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", "<f8", np.longdouble], ids=str)
    def test_any_byte_order_is_read(self, dtype: npt.DTypeLike) -> None:
        assert np.array_equal(to_rgb8(RAMP.astype(dtype))[..., 0], RAMP)

    def test_bool_is_black_and_white(self) -> None:
        assert to_rgb8(np.array([[False, True]]))[..., 0].tolist() == [[0, 255]]

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_floats_from_0_to_1_are_scaled_up(self, dtype: npt.DTypeLike) -> None:
        assert to_rgb8(np.array([[0, 0.5, 1]], dtype))[..., 0].tolist() == [[0, 128, 255]]

    def test_integers_from_0_to_1_are_not(self) -> None:
        assert to_rgb8(np.array([[0, 1]], np.uint16))[..., 0].tolist() == [[0, 1]]

    @pytest.mark.parametrize(
        "image",
        [
            np.array([[100, 300, 200]], np.uint16),
            np.array([[-100, 100, 0]], np.int16),
            np.array([[0, 2**64 - 1, 2**63]], np.uint64),
            np.array([[-(2**63), 2**63 - 1, 0]], np.int64),
            np.array([[-1.0, 1.0, 0.0]], np.float32),
            np.array([[-65504, 65504, 0]], np.float16),
            np.array([[-1.7e308, 1.7e308, 0.0]]),
            np.array([[-1e-300, 1e-300, 0.0]]),
        ],
        ids=lambda image: str(image.dtype),
    )
    def test_other_ranges_are_stretched(self, image: npt.NDArray[np.generic]) -> None:
        assert to_rgb8(image)[0, :, 0].tolist() in ([0, 255, 127], [0, 255, 128])

    def test_one_value_out_of_range_is_black(self) -> None:
        assert to_rgb8(np.full((2, 2), -7))[..., 0].tolist() == [[0, 0], [0, 0]]
        assert to_rgb8(np.full((2, 2), 70_000))[..., 0].tolist() == [[0, 0], [0, 0]]

    def test_nan_is_darkest_value(self) -> None:
        assert to_rgb8(np.array([[np.nan, 10, 20]]))[..., 0].tolist() == [[10, 10, 20]]
        assert to_rgb8(np.array([[np.nan, -10, 10]]))[..., 0].tolist() == [[0, 0, 255]]

    def test_infinities_are_darkest_and_brightest(self) -> None:
        levels = to_rgb8(np.array([[-np.inf, 10, 20, np.inf]]))[..., 0]
        assert levels.tolist() == [[10, 10, 20, 20]]

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
    def test_nothing_finite_is_black(self, dtype: npt.DTypeLike) -> None:
        image = np.array([[np.nan, np.inf, -np.inf]], dtype)
        assert to_rgb8(image)[..., 0].tolist() == [[0, 0, 0]]

    def test_long_doubles_beyond_doubles_are_infinite(self) -> None:
        image = np.array([[np.longdouble("1e4000"), 2, 1]])
        assert to_rgb8(image)[..., 0].tolist() == [[2, 2, 1]]


def heights(seed: int = 0) -> npt.NDArray[np.float32]:
    """A raster of 300.0 to 325.5 metres, each height once and again."""
    steps = np.random.default_rng(seed).permutation(60 * 80) % 256
    return (300 + steps.reshape(60, 80) / 10).astype(np.float32)


class TestToRgb8Outliers:
    @pytest.mark.parametrize("missing", [-9999, -99999, -32768, 65535, -3.4028235e38, 1e20, 0])
    @pytest.mark.parametrize("n_rows", [1, 18, 50])
    def test_missing_values_leave_the_others_their_contrast(
        self, missing: float, n_rows: int
    ) -> None:
        image = heights()
        image[:n_rows] = missing
        levels = to_rgb8(image)[..., 0]
        assert np.array_equal(levels[n_rows:], to_rgb8(heights())[n_rows:, :, 0])
        assert (levels[:n_rows] == (255 if missing > 1000 else 0)).all()

    @pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
    def test_so_do_values_that_are_no_numbers(self, missing: float) -> None:
        image = heights()
        image[:20] = missing
        assert np.array_equal(to_rgb8(image)[20:], to_rgb8(heights())[20:])

    def test_so_do_two_kinds_of_missing_values_at_both_ends(self) -> None:
        image = heights()
        image[:9], image[9:20], image[20] = -9999, 65535, -3.4028235e38
        assert np.array_equal(to_rgb8(image)[21:], to_rgb8(heights())[21:])

    def test_so_do_what_a_masked_array_hides(self) -> None:
        image = heights()
        image[:20] = 340  # near enough to the others to pass for one of them
        hidden = np.ma.masked_array(image, np.arange(60)[:, None].repeat(80, 1) < 20)
        levels = to_rgb8(hidden)[..., 0]
        assert np.array_equal(levels[20:], to_rgb8(heights())[20:, :, 0])
        assert (levels[:20] == 0).all()

    @pytest.mark.parametrize("n_stars", [1, 4])
    def test_stars_leave_the_sky_its_contrast(self, n_stars: int) -> None:
        sky = (heights() * 10).astype(np.uint16)
        stars = sky.copy()
        stars.ravel()[:n_stars] = 65535 - np.arange(n_stars) * 5000
        levels = to_rgb8(stars)[..., 0]
        assert levels.ravel()[:n_stars].tolist() == [255] * n_stars
        assert np.abs(levels[1:].astype(int) - to_rgb8(sky)[1:, :, 0]).max() <= 2

    @pytest.mark.parametrize(
        "image",
        [
            pytest.param(np.where(RAMP > 5, 65535, 0).astype(np.uint16), id="black and white"),
            pytest.param((RAMP * 100 + (RAMP > 0) * 5000).astype(np.uint16), id="labels"),
            pytest.param((np.arange(4800) ** 1.3).reshape(60, 80), id="an even range"),
        ],
    )
    def test_ordinary_pictures_have_their_whole_range(self, image: npt.NDArray[np.generic]) -> None:
        values = image.astype(float)
        expected = (values - values.min()) / np.ptp(values) * 255
        assert np.abs(to_rgb8(image)[..., 0] - expected).max() <= 0.51

    def test_a_few_metres_of_height_have_all_levels(self) -> None:
        low = heights() - 297.5  # 2.5 to 28 metres, within 0 to 255
        assert np.array_equal(to_rgb8(low), to_rgb8(heights()))

    def test_floats_a_little_beyond_1_are_not_black(self) -> None:
        levels = to_rgb8((heights() - 300) / 25)[..., 0]  # to 1.02, as after resampling
        assert levels.max() == 255

    def test_bytes_are_never_stretched(self) -> None:
        image = np.full((60, 80, 3), 100, np.uint8)
        image[0, 0], image[1, 1] = 255, 101
        assert np.array_equal(to_rgb8(image), image)


class TestToRgb8Memory:
    @pytest.mark.parametrize("dtype", ["?", "u1", "u2", "i4", "f2", "f4", "f8"])
    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_picture_is_never_changed(self, dtype: str, channels: int) -> None:
        image = np.linspace(-3, 300, 5 * 6 * channels).reshape(5, 6, channels).astype(dtype)
        if image.dtype.kind == "f":
            image[0, 0] = np.nan
            image[1, 1] = np.inf
        before = image.tobytes()
        image.flags.writeable = False
        to_rgb8(image)
        assert image.tobytes() == before

    def test_rgb_picture_is_not_copied(self) -> None:
        image = noise(5, 6)
        assert np.shares_memory(to_rgb8(image), image)

    def test_result_is_contiguous(self) -> None:
        assert to_rgb8(noise(6, 8)[::2, ::-1]).flags.c_contiguous

    def test_kinds_of_arrays_with_ways_of_their_own_are_read(self) -> None:
        hidden = np.ma.masked_array(RAMP.astype(np.uint8), mask=RAMP > 5)
        assert np.array_equal(to_rgb8(hidden)[..., 0], RAMP)
        assert type(to_rgb8(hidden)) is np.ndarray
        assert np.array_equal(to_rgb8(RAMP.astype(np.uint8).view(np.matrix))[..., 0], RAMP)


class TestToRgb8Refusals:
    @pytest.mark.parametrize(
        ("image", "message"),
        [
            pytest.param(
                None,
                "The input holds no picture (got NoneType); give an array of height x width, or "
                "height x width x channels, or a readable picture file.",
                id="nothing",
            ),
            pytest.param(
                np.zeros((0, 40, 3), np.uint8),
                "The picture has no pixels (shape 0 x 40 x 3); give at least 1 x 1.",
                id="no pixels",
            ),
            pytest.param(
                np.zeros((4, 5, 200), np.uint8),
                "The picture has the shape 4 x 5 x 200, expected height x width or height x width "
                "x 1, 2, 3 or 4 channels; pick the bands to use and give those.",
                id="many channels",
            ),
            pytest.param(
                np.zeros((4, 5), complex),
                "The picture has values of type complex128, expected integers, floats or "
                "booleans; convert it first.",
                id="complex",
            ),
        ],
    )
    def test_messages(self, image: object, message: str) -> None:
        with pytest.raises(ImageError) as caught:
            to_rgb8(image)
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        "image",
        [
            pytest.param([[1, 2], [3, 4]], id="list"),
            pytest.param("picture.png", id="path"),
            pytest.param(torch.zeros(3, 3), id="tensor"),
            pytest.param(np.array(3), id="no dimensions"),
            pytest.param(np.uint8(3), id="scalar"),
            pytest.param(np.zeros(12), id="1-D"),
            pytest.param(np.zeros((1, 2, 3, 4)), id="4-D"),
            pytest.param(np.zeros((5, 6, 5)), id="5 channels"),
            pytest.param(np.zeros((3, 4, 0)), id="0 channels"),
            pytest.param(np.zeros((3, 0)), id="0 wide"),
            pytest.param(np.array([[None, 1]], object), id="objects"),
            pytest.param(np.array([["a", "b"]]), id="text"),
            pytest.param(np.zeros((2, 2), "M8[s]"), id="times"),
            pytest.param(np.zeros((2, 2), "m8[s]"), id="durations"),
            pytest.param(np.zeros((2, 2), [("r", "u1")]), id="records"),
            pytest.param(np.zeros((2, 2), "V3"), id="raw bytes"),
        ],
    )
    def test_refuses(self, image: object) -> None:
        with pytest.raises(ImageError):
            to_rgb8(image)
