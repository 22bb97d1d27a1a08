"""Pictures, parameters and prompts through the bundled network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from infer_segment_anything_2.errors import ImageError, PromptError, SegmentAnythingError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import DrawnBox, DrawnPoint
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.painting import paint_overlay
from infer_segment_anything_2.segmentation import Segmenter
from tests.properties.bad_drawings import DRAWN_BOXES, DRAWN_POINTS
from tests.properties.bad_pictures import (
    PICTURE_SHAPES,
    USUAL_DTYPES,
    PictureCase,
    content_of,
    picture_cases,
)
from tests.properties.bad_prompts import GOOD_ENTRIES
from tests.properties.judging import VALID, Area, told_well
from tests.properties.texts import LABELS_TEXT, prompt_text, rows_text


@dataclass(frozen=True)
class WholeCase:
    """A picture with parameters and drawn prompts."""

    picture: PictureCase
    texts: dict[str, str]
    points: list[DrawnPoint]
    boxes: list[DrawnBox]


_THRESHOLD = st.sampled_from(["0", "0.3", "0.7", "0.95", "1"])

# Small grids: a thousand points take a minute.
_MODE_TEXTS = st.fixed_dictionaries(
    {
        "points_per_side": st.sampled_from(["1", "2", "3", "4"]),
        "iou_thresh": _THRESHOLD,
        "stability_score_thresh": _THRESHOLD,
    },
    optional={
        "points_per_batch": st.sampled_from(["1", "5", "65536"]),
        "stability_score_offset": st.sampled_from(["0", "0.5", "32"]),
        "mask_threshold": st.sampled_from(["-32", "-1", "0.5", "32"]),
        "box_nms_thresh": _THRESHOLD,
        "crop_n_layers": st.sampled_from(["0", "0", "1"]),
        "crop_nms_thresh": _THRESHOLD,
        "crop_overlap_ratio": st.sampled_from(["0", "512/1500", "0.99"]),
        "crop_n_points_downscale_factor": st.sampled_from(["1", "2", "16"]),
        "use_m2m": st.sampled_from(["True", "False"]),
        "adaptive_points": st.sampled_from(["True", "False"]),
        "automatic_multimask_output": st.sampled_from(["True", "False"]),
        "multimask_output": st.sampled_from(["True", "False"]),
        "apply_postprocessing": st.sampled_from(["True", "False"]),
        "input_size_percent": st.sampled_from(["1", "50", "100"]),
        "precision": st.sampled_from(["auto", "float32"]),
        "duplicates": st.sampled_from(["box", "mask", "containment"]),
        "min_mask_region_area": st.sampled_from(["1", "50", "2000000000"]),
        "keep_components": st.sampled_from(["all", "largest", "clicked"]),
        "min_mask_area": st.sampled_from(["1", "100", "2000000000"]),
        "max_mask_area": st.sampled_from(["1", "1000"]),
        "overlap": st.sampled_from(["keep", "smallest_on_top", "highest_score"]),
        "region_of_interest": st.sampled_from(["", "[2, 2, 30, 20]", "[[5, 5], [50, 9], [9, 40]]"]),
        "point_grids": st.sampled_from(["", "[[0.5, 0.5], [0, 1]]"]),
        "preset": st.sampled_from(["fast", "balanced", "thorough"]),
        "tile_size": st.sampled_from(["0", "30", "64", "65536"]),
        "sharpen": st.sampled_from(["True", "False"]),
        "tile_overlap": st.sampled_from(["0.05", "0.5"]),
    },
)

_WHOLE_POINT = st.tuples(st.integers(0, 40), st.integers(0, 40))
_WHOLE_BOX = st.tuples(*[st.integers(0, 40)] * 4)
_NO_TEXTS: st.SearchStrategy[dict[str, str]] = st.just({})

_PROMPT_TEXTS: st.SearchStrategy[dict[str, str]] = st.one_of(
    _NO_TEXTS,
    _NO_TEXTS,
    st.fixed_dictionaries({"input_point": st.lists(_WHOLE_POINT, max_size=4).map(str)}),
    st.fixed_dictionaries({"input_box": st.lists(_WHOLE_BOX, max_size=3).map(str)}),
    st.fixed_dictionaries(
        {"input_objects": GOOD_ENTRIES.map(json.dumps), "refine": st.sampled_from(["0", "1"])}
    ),
    st.fixed_dictionaries(
        {
            "input_point": prompt_text(rows_text(2)),
            "input_point_label": st.one_of(st.just(""), LABELS_TEXT),
            "input_box": prompt_text(rows_text(4)),
        }
    ),
)

_NO_DRAWING: st.SearchStrategy[list[Any]] = st.just([])

_WHOLE_SHAPES = st.one_of(
    PICTURE_SHAPES,
    PICTURE_SHAPES,
    st.sampled_from(
        [(256, 256, 3), (70, 110, 3), (300, 90), (1, 1), (1, 900, 3), (4, 4, 5), (0, 9)]
    ),
)

_segmenter = Segmenter()


def judge_whole(case: WholeCase) -> str:
    """A picture, parameters and prompts through the bundled network."""
    image = case.picture.make()
    before = content_of(image)
    try:
        values = Parameters.from_strings(
            {"model_name": "sam2_demo_nano", "cuda": "False", **case.texts}
        )
        found = _segmenter.segment(image, values, case.points, case.boxes)
    except SegmentAnythingError as error:
        assert isinstance(error, ImageError | PromptError)
        assert content_of(image) == before
        return told_well(error)
    assert content_of(image) == before
    assert_valid(found, image, values)
    return VALID


def assert_valid(found: Segmentation, image: npt.NDArray[Any], values: Parameters) -> None:
    """Masks of the picture's size that agree with all that is said of them."""
    image_hw = (image.shape[0], image.shape[1])
    assert found.image_rgb_hwc.shape == (*image_hw, 3)
    prompted = len(found.objects) if found.objects else None
    for rank, masks in enumerate(found.ranked, start=1):
        assert masks.image_hw == image_hw
        assert np.isfinite(masks.predicted_iou).all()
        is_asked = rank == 1 or (prompted is not None and values.multimask_output)
        assert is_asked or not len(masks)
        if prompted is not None and is_asked and not _drops_masks(values):
            assert masks.object_index.tolist() == list(range(prompted))
        for rle, box in zip(masks.rles, masks.boxes_xyxy_px.tolist(), strict=True):
            assert bounding_box_xyxy_px(rle.counts, image_hw) == tuple(box)
            assert rle.decode().shape == image_hw
        if prompted is None:
            # As with Meta's generator, 0 keeps all, also masks without a pixel.
            assert values.iou_thresh == 0 or np.all(masks.predicted_iou > values.iou_thresh)
            stability_thresh = values.stability_score_thresh
            assert stability_thresh == 0 or np.all(masks.stability_score >= stability_thresh)
        if values.overlap != "keep":
            assert np.all(masks.to_dense().sum(axis=0) <= 1)
        assert paint_overlay(found.image_rgb_hwc, masks).shape == (*image_hw, 3)
    if prompted is not None and values.multimask_output and not _drops_masks(values):
        first, second, third = (masks.predicted_iou for masks in found.ranked)
        assert np.all(first >= second)
        assert np.all(second >= third)
    json.dumps(found.to_dict(), allow_nan=False)


def _drops_masks(values: Parameters) -> bool:
    """Whether the clean-up may leave a prompted object without a mask."""
    return bool(values.min_mask_area or values.max_mask_area or values.overlap != "keep")


def _whole_cases() -> st.SearchStrategy[WholeCase]:
    drawn = st.one_of(
        st.tuples(_NO_DRAWING, _NO_DRAWING),
        st.tuples(_NO_DRAWING, _NO_DRAWING),
        st.tuples(DRAWN_POINTS, DRAWN_BOXES),
    )
    texts = st.tuples(_MODE_TEXTS, _PROMPT_TEXTS).map(lambda parts: {**parts[0], **parts[1]})
    pictures = st.one_of(
        picture_cases(["u1"], st.just((48, 64, 3))),
        picture_cases(USUAL_DTYPES, _WHOLE_SHAPES),
    )
    return st.tuples(pictures, texts, drawn).map(
        lambda parts: WholeCase(parts[0], parts[1], *parts[2])
    )


WHOLE_AREAS = (Area("whole segmentations", _whole_cases(), judge_whole, 400),)
