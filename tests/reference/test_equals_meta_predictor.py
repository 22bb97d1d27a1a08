"""Prompted masks against Meta's ``SAM2ImagePredictor`` on the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from skimage import data

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder, PreparedImage
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.prompted.prediction import predict
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings
from tests.blobs import blob_network
from tests.networks import meta_predictor, nano_network

# Meta's transforms are scripted, which torch means to give up.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is:FutureWarning")

# After another order of additions.
IOU_TOLERANCE = 1e-5
# Of all pixels, those that may fall on the other side of the threshold.
PIXEL_SHARE = 1e-5

OBJECTS = [
    ObjectPrompt(points_xy_px=((120.0, 80.0),), labels=(1,)),
    ObjectPrompt(points_xy_px=((120.0, 80.0), (20.5, 30.25), (60, 90)), labels=(1, 0, 1)),
    ObjectPrompt(box_xyxy_px=(40.0, 20.0, 150.0, 110.0)),
    ObjectPrompt(points_xy_px=((60.0, 60.0),), labels=(0,), box_xyxy_px=(40.0, 20.0, 150.0, 110.0)),
    ObjectPrompt(points_xy_px=((0.0, 0.0),), labels=(1,)),
    ObjectPrompt(points_xy_px=((199.5, 133.0),), labels=(1,)),
]


@dataclass(frozen=True, eq=False)
class Subject:
    """A picture, encoded once by both sides: that is what takes the time."""

    network: SAM2Base
    image: np.ndarray
    decoder: FastMaskDecoder
    prepared: PreparedImage
    predictor: SAM2ImagePredictor


def make_subject(network_name: str, image: np.ndarray) -> Subject:
    network = nano_network() if network_name == "nano" else blob_network()
    decoder = FastMaskDecoder(network)
    predictor = meta_predictor(network)
    predictor.set_image(image)
    prepared = decoder.prepare(embed_image(network, image))
    return Subject(network, image, decoder, prepared, predictor)


@pytest.fixture(
    scope="module",
    params=[
        ("nano", "landscape"),
        ("nano", "portrait"),
        ("nano", "tiny"),
        pytest.param(("official tiny", "landscape"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def subject(request: pytest.FixtureRequest) -> Subject:
    network_name, picture_name = request.param
    photo = data.coffee()[:402:3, ::3]
    pictures = {
        "landscape": photo,
        "portrait": np.rot90(photo),
        "tiny": photo[60:67, 90:101],
    }
    return make_subject(network_name, np.ascontiguousarray(pictures[picture_name]))


def within(image: np.ndarray, objects: list[ObjectPrompt]) -> list[ObjectPrompt]:
    """The objects, moved into the picture."""
    height, width = image.shape[:2]
    x_scale, y_scale = width / 200, height / 134

    def moved(prompt: ObjectPrompt) -> ObjectPrompt:
        box = prompt.box_xyxy_px
        scales = (x_scale, y_scale, x_scale, y_scale)
        return ObjectPrompt(
            points_xy_px=tuple((x * x_scale, y * y_scale) for x, y in prompt.points_xy_px),
            labels=prompt.labels,
            box_xyxy_px=None
            if box is None
            else tuple(side * scale for side, scale in zip(box, scales, strict=True)),
        )

    return [moved(prompt) for prompt in objects]


@contextmanager
def dynamic_choice(network: SAM2Base, wanted: bool) -> Iterator[None]:
    """Meta's choice of a stable mask, which is a setting of the shared network, for a while."""
    decoder: Any = network.sam_mask_decoder
    before = decoder.dynamic_multimask_via_stability
    decoder.dynamic_multimask_via_stability = wanted
    try:
        yield
    finally:
        decoder.dynamic_multimask_via_stability = before


@pytest.mark.parametrize(
    ("multimask", "prefer_stable", "threshold"),
    [
        pytest.param(True, True, 0.0, id="three masks"),
        pytest.param(False, True, 0.0, id="one stable mask"),
        pytest.param(False, False, 0.0, id="the single-mask token"),
        pytest.param(True, False, -0.7, id="another threshold"),
    ],
)
def test_same_masks_and_scores(
    subject: Subject, multimask: bool, prefer_stable: bool, threshold: float
) -> None:
    network, image, predictor = subject.network, subject.image, subject.predictor
    objects = within(image, OBJECTS)
    settings = PredictionSettings(multimask, prefer_stable, threshold)
    prediction = predict(subject.decoder, subject.prepared, objects, settings)
    predictor.mask_threshold = threshold
    differing = total = 0
    for index, prompt in enumerate(objects):
        with dynamic_choice(network, prefer_stable):
            masks_rhw, iou_r, _ = predictor.predict(
                point_coords=np.array(prompt.points_xy_px) if prompt.labels else None,
                point_labels=np.array(prompt.labels) if prompt.labels else None,
                box=None if prompt.box_xyxy_px is None else np.array(prompt.box_xyxy_px),
                multimask_output=multimask,
            )
        order = np.argsort(-iou_r, kind="stable")
        assert len(prediction.ranked) == len(order)
        for masks, theirs in zip(prediction.ranked, order, strict=True):
            mine = masks.rles[index].decode()
            assert mine.shape == image.shape[:2]
            differing += int((mine != masks_rhw[theirs].astype(bool)).sum())
            total += mine.size
            assert masks.predicted_iou[index] == pytest.approx(iou_r[theirs], abs=IOU_TOLERANCE)
    assert differing <= max(1, PIXEL_SHARE * total)


def test_boxes_and_stability_are_those_of_the_masks(subject: Subject) -> None:
    masks = predict(
        subject.decoder,
        subject.prepared,
        within(subject.image, OBJECTS),
        PredictionSettings(),
    ).ranked[0]
    for rle, box in zip(masks.rles, masks.boxes_xyxy_px.tolist(), strict=True):
        rows, columns = np.nonzero(rle.decode())
        outermost = (
            [columns.min(), rows.min(), columns.max(), rows.max()] if rle.area_px else [0] * 4
        )
        assert box == outermost
    known = ~np.isnan(masks.stability_score)
    assert ((masks.stability_score[known] >= 0) & (masks.stability_score[known] <= 1)).all()
