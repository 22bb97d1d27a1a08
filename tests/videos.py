"""Clips, networks that track, and Meta's video predictor, for tests and benchmarks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor
from skimage import data
from torch import Tensor

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.image.embedding import Embedding, embed_image
from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input
from infer_segment_anything_2.sam2_engine.settings import TrackingSettings
from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState
from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame, Tracker
from tests.networks import nano_network

Image = npt.NDArray[np.uint8]
Features = dict[str, Any]
"""What Meta's ``forward_image`` makes of a frame."""
Script = Mapping[int, Mapping[int, ObjectPrompt]]
"""What is prompted: per frame the objects by their ids."""


def clip(n_frames: int, height: int = 96, width: int = 128) -> list[Image]:
    """Three discs of a photo that move over another one."""
    ground = np.ascontiguousarray(data.coffee()[:height, :width])
    texture = data.astronaut()[::4, ::4]
    y, x = np.mgrid[:height, :width]
    frames = []
    for number in range(n_frames):
        frame = ground.copy()
        for disc in range(3):
            middle_x = width * (0.2 + 0.25 * disc + 0.012 * number * (disc + 1))
            middle_y = height * (0.3 + 0.2 * disc + 0.01 * number)
            inside = (x - middle_x) ** 2 + (y - middle_y) ** 2 < (height * 0.12) ** 2
            frame[inside] = texture[(y[inside] + 9 * disc) % 128, (x[inside] + 31 * disc) % 128]
        frames.append(frame)
    return frames


def rough_network(network: SAM2Base, presence: float = 0.0) -> SAM2Base:
    """A network whose memory tells objects apart, whether it was trained or not.

    It enlarges every difference, also those of rounding.

    Args:
        network: Stays as it is.
        presence: Added to the logit of an object's being there, which varies by about 1.
    """
    rough: Any = copy.deepcopy(network)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in rough.memory_attention.layers:
            for projection in ("q_proj", "k_proj", "v_proj"):
                getattr(layer.cross_attn_image, projection).weight *= 6
        rough.memory_encoder.mask_downsampler.encoder[-1].weight *= 20
        for layer in rough.memory_encoder.fuser.layers:
            layer.gamma.fill_(0.3)
        rough.obj_ptr_proj.layers[-1].weight *= 40
        if rough.proj_tpos_enc_in_obj_ptrs:
            rough.obj_ptr_tpos_proj.weight *= 10
        last = rough.sam_mask_decoder.pred_obj_score_head.layers[-1]
        last.weight += 3 * torch.randn(last.weight.shape, generator=random)
        last.bias += presence
    changed: SAM2Base = rough
    return changed


@cache
def rough_nano_network() -> SAM2Base:
    """The bundled network made rough. Nobody may change it."""
    return rough_network(nano_network())


@torch.no_grad()
def encoded(network: SAM2Base, frame: Image) -> Features:
    """A frame through the image encoder."""
    features: Features = network.forward_image(network_input(frame, network.image_size))
    return features


def embedding_of(frame: Image, features: Features) -> Embedding:
    """What our tracker takes, of features that are there."""
    high_res_0, high_res_1, image_embed = features["backbone_fpn"][-3:]
    hw = (frame.shape[0], frame.shape[1])
    return Embedding(image_embed, (high_res_0, high_res_1), hw)


class MetaTracker:
    """Meta's video predictor on the same weights, fed with frames instead of a folder.

    Args:
        network: Shared, never changed.
        frames: The clip.
        features: Of all frames, where they are there; encoded when they are needed if None.
        options: Attributes of the predictor.
    """

    def __init__(
        self,
        network: SAM2Base,
        frames: Sequence[Image],
        features: Sequence[Features] | None = None,
        **options: Any,
    ) -> None:
        predictor: Any = copy.copy(network)
        predictor.__class__ = SAM2VideoPredictor
        decoder = copy.copy(network.sam_mask_decoder)
        predictor._modules = {**network._modules, "sam_mask_decoder": decoder}
        values = {
            "fill_hole_area": 0,
            "non_overlap_masks": False,
            "clear_non_cond_mem_around_input": False,
            "add_all_frames_to_correct_as_cond": True,
            "binarize_mask_from_pts_for_mem_enc": True,
            **options,
        }
        decoder.dynamic_multimask_via_stability = values.pop("prefer_stable", True)
        decoder.dynamic_multimask_stability_delta = 0.05
        decoder.dynamic_multimask_stability_thresh = 0.98
        for name, value in values.items():
            setattr(predictor, name, value)
        self.predictor: SAM2VideoPredictor = predictor
        self.state = self._new_state(frames)
        for number, one in enumerate(features or ()):
            image = self.state["images"][number].unsqueeze(0)
            self.state["cached_features"][number] = (image, one)

    def _new_state(self, frames: Sequence[Image]) -> dict[str, Any]:
        """What ``init_state`` makes of a folder."""
        network: Any = self.predictor
        state: dict[str, Any] = {
            "images": torch.cat([network_input(frame, network.image_size) for frame in frames]),
            "num_frames": len(frames),
            "offload_video_to_cpu": False,
            "offload_state_to_cpu": False,
            "video_height": frames[0].shape[0],
            "video_width": frames[0].shape[1],
            "device": network.device,
            "storage_device": network.device,
            "obj_ids": [],
        }
        for name in (
            "point_inputs_per_obj",
            "mask_inputs_per_obj",
            "cached_features",
            "constants",
            "obj_id_to_idx",
            "obj_idx_to_id",
            "output_dict_per_obj",
            "temp_output_dict_per_obj",
            "frames_tracked_per_obj",
        ):
            state[name] = {}
        return state

    def prompt(self, frame: int, number: int, prompt: ObjectPrompt) -> None:
        """Tell of an object."""
        if prompt.mask is not None:
            self.predictor.add_new_mask(self.state, frame, number, prompt.mask.mask_hw)
            return
        self.predictor.add_new_points_or_box(
            self.state,
            frame,
            number,
            points=np.array(prompt.points_xy_px, np.float32).reshape(-1, 2),
            labels=np.array(prompt.labels, np.int32),
            box=None if prompt.box_xyxy_px is None else np.array(prompt.box_xyxy_px, np.float32),
        )

    def propagate(self, **arguments: Any) -> None:
        """Track, and show nothing."""
        for _ in self.predictor.propagate_in_video(self.state, **arguments):
            pass

    def logits(self) -> dict[tuple[int, int], Tensor]:
        """The low-resolution logits of each (frame, object)."""
        self.predictor.propagate_in_video_preflight(self.state)
        return {
            (frame, self.state["obj_idx_to_id"][index]): output["pred_masks"][0, 0]
            for index, outputs in self.state["output_dict_per_obj"].items()
            for kind in ("non_cond_frame_outputs", "cond_frame_outputs")
            for frame, output in outputs[kind].items()
        }


def meta_logits(
    network: SAM2Base,
    frames: Sequence[Image],
    script: Script,
    features: Sequence[Features] | None = None,
    **options: Any,
) -> dict[tuple[int, int], Tensor]:
    """What Meta's predictor finds when a user watches, and prompts where the script says so."""
    theirs = MetaTracker(network, frames, features, **options)
    for number in range(len(frames)):
        if theirs.state["obj_ids"]:
            theirs.propagate(start_frame_idx=number, max_frame_num_to_track=0)
        for object_id, prompt in script.get(number, {}).items():
            theirs.prompt(number, object_id, prompt)
    return theirs.logits()


def track_clip(
    network: SAM2Base,
    frames: Sequence[Image],
    script: Script,
    settings: TrackingSettings | None = None,
    tracker: Tracker | None = None,
    embeddings: Sequence[Embedding] | None = None,
) -> list[TrackedFrame]:
    """Our tracker from the first frame to the last."""
    tracker = tracker or Tracker(network)
    state = TrackerState()
    tracked = []
    for number, frame in enumerate(frames):
        tracked.append(
            tracker.track(
                lambda number=number, frame=frame: (  # type: ignore[misc]
                    embeddings[number] if embeddings else embed_image(network, frame)
                ),
                (frame.shape[0], frame.shape[1]),
                state,
                script.get(number, {}),
                settings or TrackingSettings(),
            )
        )
        state = tracked[-1].state
    return tracked


def our_logits(tracked: Sequence[TrackedFrame]) -> dict[tuple[int, int], Tensor]:
    """The low-resolution logits of each (frame, object)."""
    return {
        (number, object_id): logits_hw
        for number, frame in enumerate(tracked)
        for object_id, logits_hw in frame.low_res_logits.items()
    }
