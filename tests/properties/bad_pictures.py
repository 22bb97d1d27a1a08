"""Arrays of any kind, and what is no array, as pictures and as masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import mask_logits, with_support
from infer_segment_anything_2.sam2_engine.settings import MaskSupport
from infer_segment_anything_2.sam2_reading.prompt_masks import mask_from_picture
from tests.properties.bad_prompts import assert_fitted
from tests.properties.judging import VALID, Area, told_well
from tests.properties.texts import JSON

_DTYPES = [
    "?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "g", ">u2", ">f4", ">i8",
    "c8", "c16", "O", "U1", "S2", "M8[s]", "m8[s]", "V3",
]  # fmt: skip

USUAL_DTYPES = ["?", "u1", "u1", "u2", "i4", "f2", "f4", "f8"]
_FILLS = ["zeros", "noise", "bits", "levels", "unit", "signed", "special", "constant", "disc"]
_LAYOUTS = ["C", "F", "mirrored", "read-only"]
_SPECIAL = [0.0, -0.0, 1.0, -1.0, 255.0, 256.0, np.nan, np.inf, -np.inf, 5e-324, 1.7e308, -1.7e308]
_CHANNELS = st.sampled_from([(), (1,), (2,), (3,), (4,)])
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))
PICTURE_SHAPES = st.tuples(SIDES, _CHANNELS).map(lambda parts: parts[0] + parts[1])

_SHAPES = st.one_of(
    PICTURE_SHAPES,
    st.sampled_from(
        [
            (), (0,), (4,), (0, 0), (0, 40, 3), (40, 0, 3), (3, 4, 0), (1, 1), (1, 1, 3),
            (1, 20000), (20000, 1, 3), (50, 4), (4, 4), (3, 3, 3), (5, 6, 5), (4, 4, 200),
            (3, 40, 50), (1, 30, 40, 3), (2, 2, 2, 2, 2), (256, 256, 3),
        ]
    ),
    st.lists(st.integers(0, 7), max_size=5).map(tuple),
)  # fmt: skip


@dataclass(frozen=True)
class PictureCase:
    """How to make an array, good or bad as a picture."""

    dtype: str
    shape: tuple[int, ...]
    fill: str
    layout: str = "C"
    seed: int = 0

    def make(self) -> npt.NDArray[Any]:
        """The array."""
        random = np.random.default_rng(self.seed)
        dtype = np.dtype(self.dtype)
        with np.errstate(all="ignore"):
            array = _filled(self.fill, self.shape, dtype, random)
        if self.layout == "F":
            array = np.asfortranarray(array)
        elif self.layout == "mirrored" and array.ndim:
            array = array[::-1]
        elif self.layout == "read-only":
            array.flags.writeable = False
        return array


def _filled(
    fill: str, shape: tuple[int, ...], dtype: np.dtype[Any], random: np.random.Generator
) -> npt.NDArray[Any]:
    count = math.prod(shape)
    numbers: npt.NDArray[Any]
    if fill == "bits" and dtype.kind in "biufcMm":
        raw = random.bytes(max(count * dtype.itemsize, 1))[: count * dtype.itemsize]
        if dtype.kind == "b":  # other bytes than 0 and 1 are no booleans
            return (np.frombuffer(raw, np.uint8) & 1).astype(bool).reshape(shape)
        return np.frombuffer(raw, dtype).reshape(shape).copy()
    if fill == "disc" and len(shape) >= 2:
        down, across = np.indices(shape[:2])
        disc = np.hypot(down - shape[0] / 2, across - shape[1] / 2) < min(shape[:2]) / 3
        numbers = np.broadcast_to(
            (30 + 190.0 * disc).reshape(*shape[:2], *(1,) * (len(shape) - 2)), shape
        ) + random.integers(0, 10, shape)
    else:
        makers: dict[str, Callable[[], npt.NDArray[Any]]] = {
            "noise": lambda: random.normal(0, 1000, shape),
            "levels": lambda: random.integers(0, 256, shape),
            "unit": lambda: random.random(shape),
            "signed": lambda: random.random(shape) * 2 - 1,
            "special": lambda: random.choice(_SPECIAL, shape),
            "constant": lambda: np.full(shape, random.integers(-300, 70_000)),
        }
        numbers = makers[fill]() if fill in makers else np.zeros(shape)
    if dtype.kind in "OUSMmV":
        whole = np.nan_to_num(np.asarray(numbers), posinf=0, neginf=0).astype("i8")
        return np.asarray(whole.astype("u1" if dtype.kind == "V" else whole.dtype)).astype(dtype)
    return np.asarray(numbers).astype(dtype)


def picture_cases(
    dtypes: list[str], shapes: st.SearchStrategy[tuple[int, ...]]
) -> st.SearchStrategy[PictureCase]:
    return st.builds(
        PictureCase,
        st.sampled_from(dtypes),
        shapes,
        st.sampled_from(_FILLS),
        st.sampled_from(_LAYOUTS),
        st.integers(0, 2**32 - 1),
    )


_NO_PICTURES = st.one_of(JSON, st.binary(max_size=9), st.just(np.float32(1)))


def judge_picture(case: object) -> str:
    """Any array, or anything else, as a picture; an independent order of levels as the judge."""
    image = case.make() if isinstance(case, PictureCase) else case
    before = content_of(image)
    try:
        rgb = to_rgb8(image)
    except ImageError as error:
        assert content_of(image) == before
        return told_well(error)
    assert isinstance(image, np.ndarray)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*image.shape[:2], 3)
    colours = image.reshape(*image.shape[:2], -1)
    _assert_order_is_kept(colours[..., : 3 if colours.shape[2] >= 3 else 1], rgb)
    square = network_input(rgb, 64)
    assert square.shape == (1, 3, 64, 64)
    assert square.isfinite().all()
    assert content_of(image) == before
    return VALID


def content_of(image: object) -> object:
    return (image.shape, image.dtype, image.tobytes()) if isinstance(image, np.ndarray) else image


def _assert_order_is_kept(colours_hwc: npt.NDArray[Any], rgb_hwc: npt.NDArray[np.uint8]) -> None:
    """Of two values the larger is never the darker."""
    values, levels = colours_hwc.ravel(), rgb_hwc[..., : colours_hwc.shape[2]].ravel()
    is_number = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    order = np.argsort(values[is_number], kind="stable")
    assert np.all(np.diff(levels[is_number][order].astype(int)) >= 0)
    if not is_number.all():
        darkest = levels[is_number].min(initial=255)
        assert np.all(levels[~is_number] <= darkest)


def judge_mask_picture(case: object) -> str:
    """Any array, or anything else, as a mask that prompts."""
    picture = case.make() if isinstance(case, PictureCase) else case
    before = content_of(picture)
    try:
        mask = mask_from_picture(picture)
    except ImageError as error:
        assert content_of(picture) == before
        return told_well(error)
    assert content_of(picture) == before
    if mask is None:
        return "nothing set"
    assert isinstance(picture, np.ndarray)
    assert mask.mask_hw.shape == picture.shape[:2]
    assert mask.mask_hw.dtype == bool
    assert mask.mask_hw.any()
    image_hw = (70, 110)
    prompt = with_support(ObjectPrompt(mask=mask), image_hw, MaskSupport())
    assert_fitted([prompt], image_hw)
    (point,) = prompt.clicks_xy_px
    x, y = (
        int(place * side / whole)
        for place, side, whole in zip(point, mask.mask_hw.shape[::-1], image_hw[::-1], strict=True)
    )
    assert mask.mask_hw[y, x]
    logits_hw = mask_logits(mask.mask_hw, (32, 32), 10.0)
    assert logits_hw.abs().max() <= 10
    return VALID


PICTURE_AREAS = (
    Area(
        "pictures of any kind",
        st.one_of(
            picture_cases(USUAL_DTYPES, PICTURE_SHAPES),
            picture_cases(USUAL_DTYPES, PICTURE_SHAPES),
            picture_cases(USUAL_DTYPES, _SHAPES),
            picture_cases(_DTYPES, PICTURE_SHAPES),
            picture_cases(_DTYPES, _SHAPES),
            _NO_PICTURES,
        ),
        judge_picture,
        2500,
    ),
    Area(
        "pictures as masks",
        st.one_of(
            picture_cases(USUAL_DTYPES, PICTURE_SHAPES),
            picture_cases(_DTYPES, _SHAPES),
            _NO_PICTURES,
        ),
        judge_mask_picture,
        800,
    ),
)
