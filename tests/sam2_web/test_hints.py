"""What the page says where everything mode finds masks and shows none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from skimage import data

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_web.hints import find_hint
from infer_segment_anything_2.segmentation import Segmenter

PICTURE = np.ascontiguousarray(data.astronaut()[::4, ::4])
OPEN: dict[str, object] = {"iou_thresh": 0.0, "stability_score_thresh": 0.0}


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(tunes=True)


class Runs:
    """Runs with a base of parameters; counts the searches."""

    def __init__(self, segmenter: Segmenter, **given: object) -> None:
        self.segmenter = segmenter
        self.given = {"model_name": "sam2_demo_nano", "cuda": False, "points_per_side": 6, **given}
        self.searches = 0

    def __call__(self, changed: Mapping[str, float]) -> Segmentation:
        def on_progress(stage: str, done: int, total: int) -> None:
            self.searches += stage == "points" and done < total

        return self.segmenter.segment(PICTURE, self.parameters(changed), on_progress=on_progress)

    def parameters(self, changed: Mapping[str, float]) -> Parameters:
        given: dict[str, str] = {
            key: str(value) for key, value in {**self.given, **changed}.items()
        }
        return Parameters.from_strings(given)


@pytest.mark.parametrize(
    ("given", "keys", "verb"),
    [
        ({"iou_thresh": 1.0, "stability_score_thresh": 0.0}, {"iou_thresh"}, "lower"),
        (
            {"iou_thresh": 0.5, "stability_score_thresh": 1.0},
            {"stability_score_thresh"},
            "lower Stability",
        ),
        (
            {"iou_thresh": 1.0, "stability_score_thresh": 1.0},
            {"iou_thresh", "stability_score_thresh"},
            "and lower",
        ),
        ({**OPEN, "min_mask_area": 999999}, {"min_mask_area"}, "lower"),
        ({**OPEN, "min_mask_area": 1, "max_mask_area": 2}, {"max_mask_area"}, "raise"),
        (
            {"iou_thresh": 1.0, "stability_score_thresh": 0.0, "min_mask_area": 999999},
            {"iou_thresh", "min_mask_area"},
            "and lower",
        ),
    ],
)
def test_names_what_to_change_and_how_many_masks_are_seen_then(
    segmenter: Segmenter, given: dict[str, object], keys: set[str], verb: str
) -> None:
    runs = Runs(segmenter, **given)
    assert len(runs({}).ranked[0]) == 0
    runs.searches = 0
    hint = find_hint(runs, runs.parameters({}))
    assert runs.searches == 0  # all from what was kept
    assert hint is not None
    assert hint.values.keys() == keys
    assert len(runs(hint.values).ranked[0]) == hint.n_masks > 0
    assert hint.words.startswith("Nothing passed: ")
    assert verb in hint.words
    assert hint.words.endswith(f"to see {hint.n_masks} mask{'s' * (hint.n_masks != 1)}.")


def test_says_nothing_where_masks_are_shown_or_something_is_prompted(segmenter: Segmenter) -> None:
    for given in (OPEN, {"input_point": "[[60, 60]]"}):
        runs = Runs(segmenter, **given)
        assert find_hint(runs, runs.parameters({})) is None


def test_few_masks_are_let_through_not_all(segmenter: Segmenter) -> None:
    runs = Runs(segmenter, iou_thresh=1.0, stability_score_thresh=0.0)
    hint = find_hint(runs, runs.parameters({}))
    assert hint is not None
    assert hint.n_masks < len(runs({"iou_thresh": 0.5}).ranked[0])
