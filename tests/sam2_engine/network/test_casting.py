"""Weights of the encoder in half precision, rounded once."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.sam2_engine.image.embedding import Embedding, embed_image
from infer_segment_anything_2.sam2_engine.network.casting import cast_encoder
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from tests.device_work import DeviceWork
from tests.networks import nano_network

PICTURE = np.ascontiguousarray(data.coffee()[::4, ::4])
HALVES = pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])


def assert_same(one: Embedding, other: Embedding) -> None:
    levels = zip(
        (one.image_embed_bchw, *one.high_res_feats),
        (other.image_embed_bchw, *other.high_res_feats),
        strict=True,
    )
    assert all(torch.equal(mine, theirs) for mine, theirs in levels)


class TestCastEncoder:
    @HALVES
    def test_features_are_those_of_autocast_bit_for_bit(self, precision: torch.dtype) -> None:
        cast = copy.deepcopy(nano_network())
        cast_encoder(cast, precision)
        under_autocast = embed_image(nano_network(), PICTURE, precision=precision)
        assert_same(embed_image(cast, PICTURE, precision=precision), under_autocast)
        assert not torch.equal(
            under_autocast.image_embed_bchw, embed_image(nano_network(), PICTURE).image_embed_bchw
        )

    def test_no_weight_is_cast_again(self) -> None:
        cast = copy.deepcopy(nano_network())
        cast_encoder(cast, torch.bfloat16)
        counts = []
        for network in (nano_network(), cast):
            with DeviceWork() as work:
                embed_image(network, PICTURE, precision=torch.bfloat16)
            counts.append(work.launches_of["aten::_to_copy"])
        n_weights = sum(p.dtype == torch.bfloat16 for p in cast.parameters())
        assert n_weights > 50
        assert counts[0] - counts[1] == n_weights

    def test_the_rest_of_the_network_stays(self) -> None:
        cast = copy.deepcopy(nano_network())
        cast_encoder(cast, torch.bfloat16)
        ours = ("image_encoder.", "sam_mask_decoder.conv_s")
        before = dict(nano_network().named_parameters())
        for name, tensor in cast.named_parameters():
            assert name.startswith(ours) or torch.equal(tensor, before[name]), name


class TestLoading:
    def test_a_half_precision_is_cast_when_loaded(self) -> None:
        half = load_model(
            "sam2_demo_nano", device=torch.device("cpu"), precision=torch.bfloat16
        ).network
        assert {p.dtype for p in half.parameters()} == {torch.float32, torch.bfloat16}
        assert {p.dtype for p in nano_network().parameters()} == {torch.float32}
