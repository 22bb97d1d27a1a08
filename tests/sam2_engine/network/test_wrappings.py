"""Weights as training programs save them: wrapped, prefixed, averaged, beside other things."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from infer_segment_anything_2.errors import MismatchedCheckpointError
from infer_segment_anything_2.sam2_engine.network import loading
from tests.sam2_engine.network.own_weights import Tensors, assert_holds, load_own


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_memory(tensors: Tensors) -> Tensors:
    return {n: t for n, t in tensors.items() if not n.startswith("memory_")}


def inside(tensors: Tensors, part: str, wrapper: str) -> Tensors:
    """As saved from a network of which one part is wrapped."""
    return {n.replace(part, f"{part}{wrapper}.", 1): t for n, t in tensors.items()}


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
    "compiled encoder": lambda t: inside(t, "image_encoder.", "_orig_mod"),
    "parallel trunk in a compiled network": lambda t: prefixed(
        inside(t, "image_encoder.trunk.", "module"), "_orig_mod."
    ),
    "sharded decoder": lambda t: inside(
        t, "sam_mask_decoder.transformer.", "_fsdp_wrapped_module._checkpoint_wrapped_module"
    ),
    "compiled part beside its bare names": lambda t: {
        **inside(moved(t), "image_encoder.", "_orig_mod"),
        **t,
    },
    "average under a bare network": lambda t: {**t, **prefixed(moved(t), "ema.")},
    "average in the same names": lambda t: {
        "state_dict": {**prefixed(moved(t), "model_ema."), **prefixed(t, "model.")}
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_plain_network_is_found(
    wrapping: str, nano_tensors: Tensors, save: Callable[..., str]
) -> None:
    assert_holds(load_own(save(WRAPPINGS[wrapping](nano_tensors))), nano_tensors)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What is logged on loading."""
    records: list[logging.LogRecord] = []
    monkeypatch.setattr(loading._logger, "handle", records.append)
    monkeypatch.setattr(loading._logger, "isEnabledFor", lambda _level: True)
    return records


INCOMPLETE: dict[str, Callable[[Tensors], Any]] = {
    "in two dictionaries": lambda t: {"model": without_memory(moved(t)), "ema": t},
    "in one dictionary": lambda t: {
        **prefixed(without_memory(moved(t)), "model."),
        **prefixed(t, "model_ema."),
    },
    "with a head of its own": lambda t: {
        "model": {**moved(t), "head.weight": torch.ones(2)},
        "ema_state_dict": prefixed(t, "module."),
    },
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_a_whole_average_stands_in_for_a_plain_network_that_is_not(
    case: str,
    nano_tensors: Tensors,
    save: Callable[..., str],
    told: list[logging.LogRecord],
) -> None:
    assert_holds(load_own(save(INCOMPLETE[case](nano_tensors))), nano_tensors)
    warning = next(record for record in told if record.levelno == logging.WARNING)
    assert re.search(r"are not whole .*'(model_)?ema.* are, and are used", warning.getMessage())


def test_of_several_incomplete_networks_the_plain_one_is_told_of(
    nano_tensors: Tensors, save: Callable[..., str]
) -> None:
    part = without_memory(nano_tensors)
    without_prompts = {n: t for n, t in part.items() if not n.startswith("sam_prompt_encoder.")}
    with pytest.raises(MismatchedCheckpointError) as caught:
        load_own(save({"ema": without_prompts, "model": part}))
    assert set(caught.value.missing) == nano_tensors.keys() - part.keys()


def test_what_is_not_used_is_named(
    nano_tensors: Tensors, save: Callable[..., str], told: list[logging.LogRecord]
) -> None:
    heads = {f"head.{number}": torch.ones(1) for number in range(5)}
    load_own(save({"state_dict": {**prefixed(nano_tensors, "sam."), **heads}}))
    text = "\n".join(record.getMessage() for record in told)
    assert "weights under the key 'state_dict', names that begin with 'sam.' are used" in text
    assert "not used: head.0, head.1, head.2 and 2 more." in text


def test_halves_are_widened(nano_tensors: Tensors, save: Callable[..., str]) -> None:
    halves = {n: t.half() if t.is_floating_point() else t for n, t in nano_tensors.items()}
    model = load_own(save({"model": halves}))
    assert all(p.dtype == torch.float32 for p in model.network.parameters())


def test_hugging_faces_names_are_named(save: Callable[..., str]) -> None:
    patch = "vision_encoder.backbone.patch_embed.projection.weight"
    with pytest.raises(MismatchedCheckpointError, match=r"Hugging Face's.*expected Meta's own"):
        load_own(save({patch: torch.zeros(96, 3, 7, 7)}))
