"""Which network's weights some tensors are, and whether all of them fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from infer_segment_anything_2.errors import (
    DamagedCheckpointError,
    MismatchedCheckpointError,
)
from infer_segment_anything_2.sam2_engine.network.state_dicts import (
    StateDict,
)
from infer_segment_anything_2.sam2_engine.network.wrappings import PATCH_KEY
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS, Checkpoint

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["check_finite", "check_fit", "identify_network"]

_HUGGING_FACE_KEY = "vision_encoder.backbone.patch_embed.projection.weight"
_BLOCK_PREFIX = "image_encoder.trunk.blocks."
_VERSION_2_1_KEYS = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight")
_NAMES_SHOWN = 5


def identify_network(state_dict: StateDict, path: Path) -> Checkpoint:
    """The row of the official network that these tensors belong to.

    Args:
        state_dict: Tensors by name, see :func:`read_state_dict`. Only their shapes are looked at.
        path: Where they come from, for the message.

    Raises:
        MismatchedCheckpointError: The image encoder is none of the known ones.
    """
    patch_oihw = state_dict.get(PATCH_KEY)
    if patch_oihw is None and any(name.endswith(_HUGGING_FACE_KEY) for name in state_dict):
        raise MismatchedCheckpointError(
            f"The weights in {path} have the names that Hugging Face's transformers give to SAM 2: "
            "expected Meta's own names. Take Meta's .pt file of the same model, which lies beside "
            "them on the hub (such as sam2.1_hiera_small.pt), or choose it by model_name.",
            missing=(PATCH_KEY,),
            unexpected=tuple(state_dict),
        )
    if patch_oihw is None or patch_oihw.ndim != 4:
        raise _mismatch(
            path,
            "it has no SAM 2 image encoder",
            missing=(PATCH_KEY,),
            unexpected=() if patch_oihw is not None else tuple(state_dict),
        )
    width = int(patch_oihw.shape[0])
    blocks = {
        name.removeprefix(_BLOCK_PREFIX).split(".", 1)[0]
        for name in state_dict
        if name.startswith(_BLOCK_PREFIX)
    }
    same_size = [
        row
        for row in CHECKPOINTS.values()
        if (row.encoder_width, row.encoder_blocks) == (width, len(blocks))
    ]
    if not same_size:
        known = sorted({(row.encoder_width, row.encoder_blocks) for row in CHECKPOINTS.values()})
        raise _mismatch(
            path,
            f"its image encoder is {width} wide and {len(blocks)} blocks deep, and the known ones "
            f"are {', '.join(f'{w} wide and {d} deep' for w, d in known)}",
        )
    version = "2.1" if any(name in state_dict for name in _VERSION_2_1_KEYS) else "2.0"
    # The demo network exists in one version only: there check_fit tells what is missing.
    return next((row for row in same_size if row.version == version), same_size[0])


def check_fit(
    network: SAM2Base, state_dict: StateDict, architecture: Checkpoint, path: Path
) -> None:
    """Checks that a file has every tensor of a network, of the right shape, and no other.

    Raises:
        MismatchedCheckpointError: Says which tensors are missing, unknown or of another shape.
    """
    expected = network.state_dict()
    missing = tuple(name for name in expected if name not in state_dict)
    unexpected = tuple(name for name in state_dict if name not in expected)
    misshapen = tuple(
        f"{name} ({_shape(state_dict[name])} instead of {_shape(tensor)})"
        for name, tensor in expected.items()
        if name in state_dict and not _fits(state_dict[name], tensor)
    )
    if missing or unexpected or misshapen:
        raise _mismatch(
            path,
            f"its nearest network is {architecture.name}, and that does not fit",
            missing=missing,
            unexpected=unexpected,
            misshapen=misshapen,
        )


def _fits(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    return (
        given.shape == wanted.shape
        and given.layout == torch.strided
        and not given.is_quantized
        and given.is_floating_point() == wanted.is_floating_point()
    )


def _shape(tensor: torch.Tensor) -> str:
    sizes = "x".join(str(size) for size in tensor.shape) or "scalar"
    return f"{sizes} {str(tensor.dtype).removeprefix('torch.')}"


def _mismatch(
    path: Path,
    reason: str,
    *,
    missing: tuple[str, ...] = (),
    unexpected: tuple[str, ...] = (),
    misshapen: tuple[str, ...] = (),
) -> MismatchedCheckpointError:
    listed = [
        f"{len(names)} {kind}: {', '.join(name[:200] for name in names[:_NAMES_SHOWN])}"
        + (", ..." if len(names) > _NAMES_SHOWN else "")
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if names
    ]
    message = (
        f"The weights in {path} fit none of the known SAM 2 networks: expected all tensors of one "
        f"of {', '.join(CHECKPOINTS)}, got a file of which {reason}. Save the whole network, "
        "video part included, as Meta's training does."
    )
    if listed:
        message += f" Tensors {'; '.join(listed)}."
    return MismatchedCheckpointError(message, missing=missing, unexpected=unexpected)


def check_finite(network: SAM2Base, path: Path) -> None:
    """Checks that all weights are numbers.

    Raises:
        DamagedCheckpointError: Some are NaN or infinite.
    """
    bad = [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    if bad:
        raise DamagedCheckpointError(
            f"The weights in {path} are not all numbers: expected finite values, got NaN or "
            f"infinity in {len(bad)} tensors, first in {bad[0]}. Take a checkpoint from before "
            "the training diverged."
        )
