"""Weights files that the tests of this folder make."""

from __future__ import annotations

import torch

from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS

CPU = torch.device("cpu")
NANO = CHECKPOINTS["sam2_demo_nano"]
PATCH = "image_encoder.trunk.patch_embed.proj.weight"
Tensors = dict[str, torch.Tensor]


def load_own(model_path: str) -> LoadedModel:
    return load_model("", model_path, device=CPU)


def assert_holds(model: LoadedModel, tensors: Tensors) -> None:
    loaded = model.network.state_dict()
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor.float()), name
