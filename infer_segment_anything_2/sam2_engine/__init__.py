"""SAM 2 without Ikomia or Qt: embed a picture, predict masks, generate masks, track objects.

    engine = Engine(load_model("sam2.1_hiera_small", device=choose_device(cuda=True)))
    image = engine.embed(image_rgb_hwc)
    prediction = engine.predict(image, [ObjectPrompt(points_xy_px=((500, 375),), labels=(1,))])
    result = engine.generate(image_rgb_hwc, GridSettings(points_per_side=16))
    tracked = engine.track(TrackerState(), image_rgb_hwc, {7: ObjectPrompt(box_xyxy_px=box)})

The names below are the public ones. They are imported on first use: who only wants to know which
checkpoints there are need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from infer_segment_anything_2.sam2_engine.hardware.forking import free_children
from infer_segment_anything_2.sam2_engine.hardware.waiting import short_spinning

if TYPE_CHECKING:
    from infer_segment_anything_2.sam2_engine.engine import Engine
    from infer_segment_anything_2.sam2_engine.everything.candidates import (
        Candidates,
        GenerationResult,
    )
    from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
    from infer_segment_anything_2.sam2_engine.hardware.devices import (
        choose_device,
        choose_precision,
    )
    from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
    from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
    from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
    from infer_segment_anything_2.sam2_engine.prompted.prediction import Prediction
    from infer_segment_anything_2.sam2_engine.settings import (
        CleaningSettings,
        GridSettings,
        PredictionSettings,
        TileSettings,
        TrackingSettings,
    )
    from infer_segment_anything_2.sam2_engine.tracking.masklets import Masklets
    from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState
    from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame
    from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS, Checkpoint

__all__ = [
    "CHECKPOINTS",
    "Candidates",
    "Checkpoint",
    "CleaningSettings",
    "Engine",
    "FilterCounts",
    "GenerationResult",
    "GridSettings",
    "LoadedModel",
    "MaskSet",
    "Masklets",
    "Prediction",
    "PredictionSettings",
    "Rle",
    "TileSettings",
    "TrackedFrame",
    "TrackerState",
    "TrackingSettings",
    "choose_device",
    "choose_precision",
    "load_model",
    "to_rgb8",
]

_MODULE_OF = {
    "CHECKPOINTS": "weights.checkpoints",
    "Candidates": "everything.candidates",
    "Checkpoint": "weights.checkpoints",
    "CleaningSettings": "settings",
    "Engine": "engine",
    "FilterCounts": "everything.filter_counts",
    "GenerationResult": "everything.candidates",
    "GridSettings": "settings",
    "LoadedModel": "network.loading",
    "MaskSet": "masks.mask_set",
    "Masklets": "tracking.masklets",
    "Prediction": "prompted.prediction",
    "PredictionSettings": "settings",
    "Rle": "masks.mask_set",
    "TileSettings": "settings",
    "TrackedFrame": "tracking.tracker",
    "TrackerState": "tracking.object_memory",
    "TrackingSettings": "settings",
    "choose_device": "hardware.devices",
    "choose_precision": "hardware.devices",
    "load_model": "network.loading",
    "to_rgb8": "image.rgb",
}

# Here, as whoever uses the engine comes by, before torch is loaded.
free_children()


def __getattr__(name: str) -> Any:
    """Imports a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with short_spinning():
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
