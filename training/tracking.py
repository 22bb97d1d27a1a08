"""Tracking as Meta's video predictor does it, differentiable, on many objects at once.

Frame 0 is prompted by a mask or a box; every later frame is answered from memory. Only the memory
is trained: what pictures use stays as it is, bit for bit (`trainable`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, layer_norm

from training.objective import mask_errors

# Of the parameters only these are free; the presence head reads a token, which writes nothing back.
_MEMORY = (
    "memory_attention.",
    "memory_encoder.",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
    "maskmem_tpos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "mask_downsample.",
    "sam_mask_decoder.pred_obj_score_head.",
)
_FUSER_SCALE = 0.1
_FIRST_BRANCHES = 0.3
_ABSENT = -1024.0
_PRESENCE_WEIGHT = 0.5


@dataclass(frozen=True)
class FrameFeatures:
    """What the frozen encoder says of B frames: 1/4, 1/8 and 1/16 of the input's size."""

    high_res_s0: Tensor
    high_res_s1: Tensor
    features: Tensor

    def rows(self, which: Tensor) -> "FrameFeatures":
        """Some of the frames, repeated as asked for, in single precision."""
        return FrameFeatures(
            self.high_res_s0[which].float(),
            self.high_res_s1[which].float(),
            self.features[which].float(),
        )


@dataclass(frozen=True)
class FrameAnswer:
    """Answers of N objects on a frame.

    Attributes:
        candidates: NxMxhxw mask logits.
        chosen: Nx1xHxW logits of the candidate that the network ranks first, at the input's size.
        presence: Nx1 logits of the object being there.
    """

    candidates: Tensor
    chosen: Tensor
    presence: Tensor


def trainable(network: SAM2Base) -> None:
    """Frees the memory's parameters and nothing else."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(_MEMORY))


@torch.no_grad()
def prepare_memory(network: SAM2Base, sample: FrameFeatures) -> None:
    """Gives a memory that was never trained a start from which it learns at once.

    Its fuser's scale of 1e-6 is too faint to learn from. And the frozen decoder knows only features
    as they are on pictures: so the attention begins close to handing them through, its last
    normalisation undone as well as one factor and one shift a channel can.

    Args:
        network: Left as it is when its memory has been trained.
        sample: Features of some frames.
    """
    gammas = [p for n, p in network.memory_encoder.named_parameters() if n.endswith("gamma")]
    if max(float(gamma.abs().max()) for gamma in gammas) > _FUSER_SCALE / 10:
        return
    for gamma in gammas:
        gamma.fill_(_FUSER_SCALE)
    attention = network.memory_attention
    for layer in attention.layers:
        for branch in (layer.self_attn.out_proj, layer.cross_attn_image.out_proj, layer.linear2):
            branch.weight.mul_(_FIRST_BRANCHES)
    features = sample.features.float().permute(0, 2, 3, 1).flatten(0, 2)
    given = layer_norm(features, features.shape[-1:])
    expected = features + network.no_mem_embed.flatten()
    spread = given - given.mean(dim=0)
    slope = (spread * expected).mean(dim=0) / spread.square().mean(dim=0).clamp(min=1e-6)
    attention.norm.weight.copy_(slope)
    attention.norm.bias.copy_(expected.mean(dim=0) - slope * given.mean(dim=0))


@torch.no_grad()
def encode_frames(network: SAM2Base, pixels_bchw: Tensor) -> FrameFeatures:
    """Encodes normalised frames, kept in half precision."""
    s0, s1, features = network.forward_image(pixels_bchw)["backbone_fpn"]
    return FrameFeatures(s0.half(), s1.half(), features.half())


class Track:
    """N objects from their prompts on, frame by frame.

    Args:
        network: The network.
        frames: How many the clip has.
        objects: N.
    """

    def __init__(self, network: SAM2Base, frames: int, objects: int) -> None:
        self.network = network
        self.frames = frames
        self.frame = 0
        self.memory: dict[str, dict[int, dict[str, Any]]] = {
            "cond_frame_outputs": {},
            "non_cond_frame_outputs": {},
        }
        side = network.sam_image_embedding_size
        empty = torch.zeros(1, network.hidden_dim, side, side)
        positions = network.image_encoder.neck.position_encoding(empty)
        self.positions = positions.expand(objects, -1, -1, -1).flatten(2).permute(2, 0, 1)

    def start_by_mask(self, frame: FrameFeatures, masks_n1hw: Tensor) -> None:
        """Takes masks of the input's size as what the objects look like."""
        network = self.network
        high_res = [frame.high_res_s0, frame.high_res_s1]
        with _unhidden(network):
            outputs = network._use_mask_as_output(frame.features, high_res, masks_n1hw)
        present = torch.ones(len(masks_n1hw), 1)
        self._remember(
            frame, outputs[4], outputs[5], present, "cond_frame_outputs", by_points=False
        )

    def start_by_box(self, frame: FrameFeatures, boxes_n22: Tensor) -> None:
        """Takes boxes in pixels of the input."""
        conditioned = frame.features + self.network.no_mem_embed.reshape(1, -1, 1, 1)
        labels = torch.tensor([[2, 3]], dtype=torch.int32).expand(len(boxes_n22), 2)
        answer, pointer = self._answer(frame, conditioned, (boxes_n22, labels))
        present = torch.ones(len(boxes_n22), 1)
        self._remember(frame, answer.chosen, pointer, present, "cond_frame_outputs", by_points=True)

    def step(
        self, frame: FrameFeatures, present_n1: Tensor | None = None, *, last: bool = False
    ) -> FrameAnswer:
        """Answers the next frame from memory, and remembers it.

        Args:
            frame: Features, one row an object.
            present_n1: Whether each object is there, 0 or 1: training tells it; None asks the
                network itself.
            last: No other frame follows, so nothing need be remembered.
        """
        network = self.network
        side = network.sam_image_embedding_size
        conditioned = network._prepare_memory_conditioned_features(
            frame_idx=self.frame,
            is_init_cond_frame=False,
            current_vision_feats=[frame.features.flatten(2).permute(2, 0, 1)],
            current_vision_pos_embeds=[self.positions],
            feat_sizes=[(side, side)],
            output_dict=self.memory,
            num_frames=self.frames,
        )
        answer, pointer = self._answer(frame, conditioned, None)
        present = (answer.presence > 0).float() if present_n1 is None else present_n1
        masks = torch.where(present[..., None, None] > 0, answer.chosen, _ABSENT)
        if not last:
            kind = "non_cond_frame_outputs"
            self._remember(frame, masks, pointer, present, kind, by_points=False)
        return FrameAnswer(answer.candidates, masks, answer.presence)

    def _answer(
        self, frame: FrameFeatures, conditioned: Tensor, points: tuple[Tensor, Tensor] | None
    ) -> tuple[FrameAnswer, Tensor]:
        prompt = None
        if points is not None:
            prompt = {"point_coords": points[0], "point_labels": points[1]}
        with _unhidden(self.network):
            candidates, _, _, _, chosen, pointer, presence = self.network._forward_sam_heads(
                backbone_features=conditioned,
                point_inputs=prompt,
                high_res_features=[frame.high_res_s0, frame.high_res_s1],
                multimask_output=points is None,
            )
        return FrameAnswer(candidates, chosen, presence), pointer

    def _remember(
        self,
        frame: FrameFeatures,
        masks: Tensor,
        pointer: Tensor,
        present: Tensor,
        kind: str,
        *,
        by_points: bool,
    ) -> None:
        network = self.network
        side = network.sam_image_embedding_size
        features, positions = network._encode_new_memory(
            current_vision_feats=[frame.features.flatten(2).permute(2, 0, 1)],
            feat_sizes=[(side, side)],
            pred_masks_high_res=masks,
            object_score_logits=present * 2 - 1,
            is_mask_from_pts=by_points,
        )
        self.memory[kind][self.frame] = {
            "maskmem_features": features,
            "maskmem_pos_enc": positions,
            "obj_ptr": present * pointer + (1 - present) * network.no_obj_ptr,
        }
        self.frame += 1


@contextmanager
def _unhidden(network: SAM2Base) -> Iterator[None]:
    """Leaves masks and pointers of absent objects as the decoder makes them: they get gradients."""
    network.pred_obj_scores = False
    try:
        yield
    finally:
        network.pred_obj_scores = True


def frame_loss(answer: FrameAnswer, wanted_nhw: Tensor, logit_scale: float) -> Tensor:
    """All candidates have to fit where the object is seen; presence has to be right everywhere.

    A track has one right answer, and the frozen head that ranks candidates cannot learn which one.

    Args:
        answer: Of N objects.
        wanted_nhw: Their masks at the candidates' size, covered shares; all zero where hidden.
        logit_scale: Of the network's calibration; the loss takes logits as they were before.
    """
    present = wanted_nhw.flatten(1).any(dim=1)
    loss = _PRESENCE_WEIGHT * binary_cross_entropy_with_logits(
        answer.presence, present.float()[:, None]
    )
    if bool(present.any()):
        errors = mask_errors(answer.candidates[present] / logit_scale, wanted_nhw[present])
        loss = loss + errors.mean()
    return loss


def at_size(masks_nhw: Tensor, size: int) -> Tensor:
    """Covered shares of the cells of a coarser grid."""
    return interpolate(masks_nhw[:, None].float(), size=(size, size), mode="area")[:, 0]
