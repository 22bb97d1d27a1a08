"""Tensors that fit none of the networks, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infer_segment_anything_2.errors import (
    MismatchedCheckpointError,
)
from infer_segment_anything_2.sam2_engine.network.architectures import check_fit, identify_network
from infer_segment_anything_2.sam2_engine.network.building import build_network
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from tests.sam2_engine.network.own_weights import PATCH, Tensors, load_own


class TestMismatch:
    def test_lists_what_is_missing_unexpected_and_misshapen(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        tensors = dict(nano_tensors)
        del tensors["no_mem_embed"]
        tensors["head.weight"] = torch.zeros(3)
        tensors["no_obj_ptr"] = torch.zeros(1, 7)
        path = save({"model": tensors})
        with pytest.raises(MismatchedCheckpointError) as caught:
            load_own(path)
        assert caught.value.missing == ("no_mem_embed",)
        assert caught.value.unexpected == ("head.weight",)
        assert str(caught.value) == (
            f"The weights in {path} fit none of the known SAM 2 networks: expected all tensors "
            f"of one of {', '.join(CHECKPOINTS)}, got a file of which its nearest network is "
            "sam2_demo_nano, and that does not fit. Save the whole network, video part included, "
            "as Meta's training does. Tensors 1 missing: no_mem_embed; 1 unexpected: head.weight; "
            "1 of another shape: no_obj_ptr (1x7 float32 instead of 1x128 float32)."
        )

    def test_message_is_short_and_attributes_are_complete(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        encoder = {n: t for n, t in nano_tensors.items() if n.startswith("image_encoder.")}
        with pytest.raises(MismatchedCheckpointError, match=r" missing: .*, \.\.\.") as caught:
            load_own(save(encoder))
        assert set(caught.value.missing) == nano_tensors.keys() - encoder.keys()
        assert len(str(caught.value)) < 1500

    def test_names_an_unknown_encoder(self) -> None:
        tensors = {PATCH: torch.zeros(64, 3, 7, 7), "image_encoder.trunk.blocks.0.x": torch.ones(1)}
        with pytest.raises(MismatchedCheckpointError, match="64 wide and 1 blocks deep"):
            identify_network(tensors, Path("x.pt"))

    def test_names_weights_of_something_else(self) -> None:
        tensors = {"image_encoder.patch_embed.proj.weight": torch.zeros(768, 3, 16, 16)}
        with pytest.raises(MismatchedCheckpointError, match="no SAM 2 image encoder") as caught:
            identify_network(tensors, Path("sam_vit_b.pt"))
        assert caught.value.missing == (PATCH,)
        assert caught.value.unexpected == tuple(tensors)

    def test_refuses_integers_for_weights(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        tensors = nano_tensors | {PATCH: nano_tensors[PATCH].char()}
        with pytest.raises(MismatchedCheckpointError, match="int8 instead of"):
            load_own(save(tensors))

    def test_of_the_2_0_network_under_2_1_names_the_two_tensors(self) -> None:
        row = CHECKPOINTS["sam2_hiera_tiny"]
        tensors = dict(build_network(row).state_dict())
        tensors["no_obj_embed_spatial"] = torch.zeros(1, 64)
        newer = identify_network(tensors, Path("x.pt"))
        assert newer.name == "sam2.1_hiera_tiny"
        with pytest.raises(MismatchedCheckpointError) as caught:
            check_fit(build_network(newer), tensors, newer, Path("x.pt"))
        assert caught.value.missing == ("obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias")
