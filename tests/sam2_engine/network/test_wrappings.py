"""Weights as training programs save them: wrapped, prefixed, averaged, beside other things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from infer_segment_anything_2.errors import MismatchedCheckpointError
from tests.sam2_engine.network.own_weights import Tensors, assert_holds, load_own


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def moved(tensors: Tensors) -> Tensors:
    """Other numbers of the same shapes, as a running average has them."""
    return {n: t + 1 if t.is_floating_point() else t for n, t in tensors.items()}


WRAPPINGS: dict[str, Callable[[Tensors], Any]] = {
    "Lightning": lambda t: {
        "state_dict": prefixed(t, "sam."),
        "hyper_parameters": {"lr": 1e-4},
        "epoch": 7,
    },
    "data parallel": lambda t: prefixed(t, "module."),
    "compiled": lambda t: {"model": prefixed(t, "_orig_mod.")},
    "compiled in data parallel": lambda t: prefixed(t, "module._orig_mod."),
    "two attributes deep": lambda t: {"state_dict": prefixed(t, "predictor.model.")},
    "nested": lambda t: {"checkpoint": {"model": {"state_dict": t}}},
    "beside an optimiser": lambda t: {
        "model": t,
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]},
    },
    "beside another head": lambda t: {**prefixed(t, "sam."), "head.weight": torch.ones(2, 2)},
    "average only": lambda t: {"ema_state_dict": t},
    "SWA": lambda t: {"n_averaged": torch.tensor(5), **prefixed(t, "module.")},
    "plain beside its average": lambda t: {"ema": moved(t), "model": t},
    "student beside its teacher": lambda t: {"teacher": moved(t), "student": t},
    "average in the same names": lambda t: {
        "state_dict": {**prefixed(moved(t), "model_ema."), **prefixed(t, "model.")}
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_plain_network_is_found(
    wrapping: str, nano_tensors: Tensors, save: Callable[..., str]
) -> None:
    assert_holds(load_own(save(WRAPPINGS[wrapping](nano_tensors))), nano_tensors)


def test_halves_are_widened(nano_tensors: Tensors, save: Callable[..., str]) -> None:
    halves = {n: t.half() if t.is_floating_point() else t for n, t in nano_tensors.items()}
    model = load_own(save({"model": halves}))
    assert all(p.dtype == torch.float32 for p in model.network.parameters())


def test_hugging_faces_names_are_named(save: Callable[..., str]) -> None:
    patch = "vision_encoder.backbone.patch_embed.projection.weight"
    with pytest.raises(MismatchedCheckpointError, match=r"Hugging Face's.*expected Meta's own"):
        load_own(save({patch: torch.zeros(96, 3, 7, 7)}))
