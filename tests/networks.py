"""Networks, Meta's own generator, and what both need, for tests and benchmarks."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.utils.amg import rle_to_mask

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder, PreparedImage
from infer_segment_anything_2.sam2_engine.everything.candidates import GenerationResult
from infer_segment_anything_2.sam2_engine.everything.generation import generate
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.settings import GridSettings, OnProgress

Image = npt.NDArray[np.uint8]


@cache
def nano_network() -> SAM2Base:
    """The bundled network: trained, 256 pixels, fast. Nobody may change it."""
    return load_model("sam2_demo_nano", device=torch.device("cpu")).network


def meta_predictor(network: SAM2Base, **options: Any) -> SAM2ImagePredictor:
    """Meta's predictor, also for networks that do not take 1024 pixels."""
    with warnings.catch_warnings():
        # its transforms use torch.jit.script
        warnings.simplefilter("ignore", FutureWarning)
        predictor = SAM2ImagePredictor(network, **options)
    _set_feature_sizes(predictor)
    return predictor


def _set_feature_sizes(predictor: SAM2ImagePredictor) -> None:
    side = predictor.model.image_size // 4  # it has those of 1024 pixels built in
    predictor._bb_feat_sizes = [(side, side), (side // 2,) * 2, (side // 4,) * 2]


# The settings that are Meta's too.
META_ARGUMENTS = (
    "points_per_side",
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "mask_threshold",
    "box_nms_thresh",
    "crop_n_layers",
    "crop_nms_thresh",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "point_grids",
    "use_m2m",
    "multimask_output",
)


class Generators:
    """Our automatic mode and Meta's, on the same network.

    Args:
        network: Meta's.
        precision: Of ours; Meta's runs in float32.
    """

    def __init__(self, network: SAM2Base, precision: torch.dtype = torch.float32) -> None:
        self.network = network
        self.precision = precision
        self.decoder = FastMaskDecoder(network, precision)

    def embed(self, image_rgb_hwc: Image) -> PreparedImage:
        embedding = embed_image(self.network, image_rgb_hwc, precision=self.precision)
        return self.decoder.prepare(embedding)

    def ours(
        self, image_rgb_hwc: Image, settings: GridSettings, on_progress: OnProgress | None = None
    ) -> GenerationResult:
        return generate(
            self.embed,
            self.decoder,
            image_rgb_hwc,
            settings,
            on_progress,
        )

    def meta(self, image_rgb_hwc: Image, settings: GridSettings) -> list[dict[str, Any]]:
        """Meta's records, with run lengths as `segmentation`."""
        arguments = {name: getattr(settings, name) for name in META_ARGUMENTS}
        decoder: Any = self.network.sam_mask_decoder
        decoder.dynamic_multimask_via_stability = settings.prefer_stable
        if settings.point_grids is not None:
            arguments["points_per_side"] = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # as above
            theirs = SAM2AutomaticMaskGenerator(
                self.network, output_mode="uncompressed_rle", **arguments
            )
        _set_feature_sizes(theirs.predictor)
        try:
            records: list[dict[str, Any]] = theirs.generate(image_rgb_hwc)
        finally:
            decoder.dynamic_multimask_via_stability = False
        return records

    def unfiltered(self, image_rgb_hwc: Image, settings: GridSettings) -> MaskSet:
        """All masks that are proposed for the whole picture."""
        every = replace(
            settings,
            pred_iou_thresh=0.0,
            stability_score_thresh=0.0,
            box_nms_thresh=1.0,
            crop_n_layers=0,
        )
        return self.ours(image_rgb_hwc, every).masks

    def with_thresholds(
        self, image_rgb_hwc: Image, settings: GridSettings, kept_by_each: float
    ) -> GridSettings:
        """Set both thresholds so that each keeps a part of the masks of the whole picture.

        Trained weights and random ones have quite different scores; and no score may lie so near a
        threshold that rounding decides.
        """
        every = self.unfiltered(image_rgb_hwc, settings)
        iou = quantile_in_a_gap(every.predicted_iou, 1 - kept_by_each)
        good = every.stability_score[every.predicted_iou > iou]
        stability = quantile_in_a_gap(good[np.isfinite(good)], 1 - kept_by_each)
        return replace(settings, pred_iou_thresh=iou, stability_score_thresh=stability)


def quantile_in_a_gap(values: npt.NDArray[np.float32], part: float) -> float:
    """A number near the quantile, in the middle of the widest gap between values there.

    0, which keeps all, where there is no value: all masks are empty, as in a picture of one pixel.
    """
    if not values.size:
        return 0.0
    ranked = np.sort(values).astype(np.float64)
    place = int(part * (ranked.size - 1))
    near = ranked[max(0, place - 3) : place + 4]
    if near.size < 2:
        return float(ranked[place]) - 1e-3
    widest = int(np.argmax(np.diff(near)))
    return float(near[widest : widest + 2].mean())


def differences(
    masks: MaskSet,
    records: list[dict[str, Any]],
) -> list[str]:
    """What our masks and Meta's records do not have in common; nothing when they are equal.

    Predicted IoU may differ by 1e-5; stability by as much, or by what one pixel on the other side
    of each of its two thresholds makes of it, which is more in a small mask; a mask by one in
    100,000 of the picture's pixels (rounded up); and nothing else.
    """
    if len(masks) != len(records):
        return [f"{len(masks)} masks instead of {len(records)}"]
    left, top, right, bottom = masks.boxes_xyxy_px.T
    ours = {
        "bbox": np.stack([left, top, right - left, bottom - top], axis=1),
        "crop_box": masks.crop_boxes_xywh_px,
        "point_coords": masks.points_xy_px[:, None],
    }
    found = []
    for i, record in enumerate(records):
        for key, column in ours.items():
            if column[i].tolist() != record[key]:
                found.append(f"mask {i}: {key} {column[i].tolist()} instead of {record[key]}")
        for key, score, tolerance in (
            ("predicted_iou", masks.predicted_iou[i], 1e-5),
            (
                "stability_score",
                masks.stability_score[i],
                max(1e-5, 2 / max(record["area"], 1)),
            ),
        ):
            if not np.isclose(score, record[key], rtol=0, atol=tolerance, equal_nan=True):
                found.append(f"mask {i}: {key} {score} instead of {record[key]}")
        drawn = rle_to_mask(record["segmentation"])
        wrong_px = np.count_nonzero(masks.rles[i].decode() != drawn)
        if wrong_px > math.ceil(drawn.size * 1e-5):
            found.append(f"mask {i}: {wrong_px} of {drawn.size} pixels")
    return found
