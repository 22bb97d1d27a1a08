"""The fast mask decoder against Meta's own: official tiny architecture and demo network."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sam2
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

import infer_segment_anything_2
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    MOST_LOW_RANK_TOKENS,
    DecodedPrompts,
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.image.embedding import Embedding

OFFICIAL = Path(sam2.__file__).parent / "configs" / "sam2.1" / "sam2.1_hiera_t.yaml"
DEMO = Path(infer_segment_anything_2.__file__).parent / "demo_model"

PROMPTS = 5  # more than the decoder takes at once on a CPU

# Largest difference of logits (divided by their standard deviation) and of predicted IoU.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 3e-5, torch.bfloat16: 0.25}
IOU_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 0.02}


@functools.cache
def network(name: str, dtype: torch.dtype) -> Any:
    """A network with weights that leave no vector of Meta's decoder at zero or one."""
    torch.manual_seed(0)
    if name == "demo":
        config = OmegaConf.load(DEMO / "sam2_demo_nano.yaml")
        model = instantiate(config.model)
        checkpoint = torch.load(DEMO / "sam2_demo_nano.pt", weights_only=True)
        model.load_state_dict(checkpoint["model"])
    else:
        config = OmegaConf.load(OFFICIAL)
        config.model.image_size = {"official": 1024, "official at 256": 256}[name]
        model = instantiate(config.model)
        for part in (model.sam_mask_decoder, model.sam_prompt_encoder):
            for parameter in part.parameters():
                if parameter.ndim == 1:
                    parameter.data += 0.3 * torch.randn(parameter.shape)
    model = model.eval().requires_grad_(False).to(dtype)
    # Meta's code makes coordinates in float32, whatever the network's precision
    codes = model.sam_prompt_encoder.pe_layer
    codes.positional_encoding_gaussian_matrix = codes.positional_encoding_gaussian_matrix.float()
    return model


def embedding(model: Any, dtype: torch.dtype) -> Embedding:
    generator = torch.Generator().manual_seed(1)
    channels, side = model.hidden_dim, model.sam_image_embedding_size

    def features(times: int, factor: int) -> Tensor:
        shape = (1, channels // times, factor * side, factor * side)
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    size = model.image_size
    return Embedding(features(1, 1), (features(8, 4), features(4, 2)), (size, size))


def prompts(model: Any, kind: str, dtype: torch.dtype, n: int) -> tuple[Tensor, Tensor | None]:
    """Sparse and dense embeddings of n random prompts of a kind."""
    generator = torch.Generator().manual_seed(2)
    n_points = {"one point": 1, "points": 4, "box and points": 3, "padded": 3, "many points": 24}
    coords = torch.rand(n, n_points.get(kind, 1), 2, generator=generator) * model.image_size
    labels = torch.randint(0, 2, coords.shape[:2], generator=generator)
    if kind == "padded":  # as a batch of prompts with 1, 2 and 3 points
        labels[0, 1:] = -1
        labels[1, 2:] = -1
    corners = torch.rand(n, 2, 2, generator=generator).sort(1).values * model.image_size
    masks = None
    if "mask" in kind:
        side = 4 * model.sam_image_embedding_size
        masks = 5 * torch.randn(n, 1, side, side, generator=generator, dtype=torch.float64).to(
            dtype
        )
    sparse_bnc, dense_bchw = model.sam_prompt_encoder(
        points=None if kind in ("box", "mask") else (coords, labels),
        boxes=corners.flatten(1) if "box" in kind else None,
        masks=masks,
    )
    return sparse_bnc.to(dtype), None if masks is None else dense_bchw


def metas_answer(
    model: Any, features: Embedding, sparse_bnc: Tensor, dense_bchw: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if dense_bchw is None:
        dense_bchw = model.sam_prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
    answer: tuple[Tensor, Tensor, Tensor, Tensor] = model.sam_mask_decoder.predict_masks(
        image_embeddings=features.image_embed_bchw + model.no_mem_embed.view(1, -1, 1, 1),
        image_pe=model.sam_prompt_encoder.get_dense_pe().to(sparse_bnc.dtype),
        sparse_prompt_embeddings=sparse_bnc,
        dense_prompt_embeddings=dense_bchw,
        repeat_image=True,
        high_res_features=list(features.high_res_feats),
    )
    return answer


def all_logits(decoder: FastMaskDecoder, image: PreparedImage, decoded: DecodedPrompts) -> Tensor:
    n, tokens = decoded.iou_bm.shape
    prompt_index, token_index = (
        np.arange(n * tokens) // tokens,
        np.arange(n * tokens) % tokens,
    )
    logits_khw = decoder.mask_logits(image, decoded, prompt_index, token_index)
    return logits_khw.view(n, tokens, *logits_khw.shape[1:])


def assert_equal_to_metas(
    name: str,
    kind: str,
    dtype: torch.dtype,
    n: int = PROMPTS,
    inner: torch.dtype | None = None,
    in_bulk: bool = False,
) -> None:
    model = network(name, dtype)
    features = embedding(model, dtype)
    sparse_bnc, dense_bchw = prompts(model, kind, dtype, n)
    logits, iou, mask_tokens, object_scores = metas_answer(model, features, sparse_bnc, dense_bchw)

    decoder = FastMaskDecoder(model, inner or dtype, in_bulk)
    image = decoder.prepare(features)
    decoded = decoder.decode(image, sparse_bnc, dense_bchw)

    tolerance, iou_tolerance = TOLERANCE[inner or dtype], IOU_TOLERANCE[inner or dtype]
    assert len(decoded) == n
    assert logits.std() > 0.1
    difference = (all_logits(decoder, image, decoded) - logits).abs().max() / logits.std()
    assert difference <= tolerance
    assert (decoded.iou_bm - iou).abs().max() <= iou_tolerance
    torch.testing.assert_close(
        decoded.object_score_logits_b1, object_scores, atol=tolerance, rtol=tolerance
    )
    torch.testing.assert_close(decoded.mask_tokens_bmc, mask_tokens, atol=tolerance, rtol=tolerance)


KINDS = [
    "one point", "points", "padded", "box", "box and points", "many points",
    "mask", "mask and point", "mask, box and points",
]  # fmt: skip


class TestAgainstMeta:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["official at 256", "demo"])
    def test_every_prompt_kind(self, name: str, kind: str, dtype: torch.dtype) -> None:
        assert_equal_to_metas(name, kind, dtype)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
    @pytest.mark.parametrize("kind", ["one point", "mask and point"])
    def test_official_size(self, kind: str, dtype: torch.dtype) -> None:
        assert_equal_to_metas("official", kind, dtype, n=1)

    @pytest.mark.parametrize("kind", ["one point", "mask and point"])
    @pytest.mark.parametrize("name", ["official at 256", "demo"])
    def test_bfloat16(self, name: str, kind: str) -> None:
        assert_equal_to_metas(name, kind, torch.float32, inner=torch.bfloat16)

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_prompt_kind_in_bulk(self, kind: str) -> None:
        assert_equal_to_metas("demo", kind, torch.float32, in_bulk=True)

    def test_bfloat16_in_bulk(self) -> None:
        assert_equal_to_metas(
            "demo", "one point", torch.float32, inner=torch.bfloat16, in_bulk=True
        )

    def test_many_points_take_the_other_path(self) -> None:
        model = network("demo", torch.float32)
        decoder = FastMaskDecoder(model)
        image = decoder.prepare(embedding(model, torch.float32))
        few = decoder.decode(image, prompts(model, "one point", torch.float32, 1)[0])
        many_bnc = prompts(model, "many points", torch.float32, 1)[0]

        many = decoder.decode(image, many_bnc)

        assert many_bnc.shape[1] + 6 > MOST_LOW_RANK_TOKENS
        assert isinstance(many.images[0], Tensor)
        assert not isinstance(few.images[0], Tensor)


Answers = tuple[FastMaskDecoder, PreparedImage, DecodedPrompts, Tensor]


@pytest.fixture(scope="module", params=[False, True], ids=["as a CPU", "in bulk"])
def answers(request: pytest.FixtureRequest) -> Answers:
    """A decoder, its picture, its answer to some points, and Meta's masks."""
    model = network("demo", torch.float64)
    features = embedding(model, torch.float64)
    sparse_bnc, _ = prompts(model, "one point", torch.float64, PROMPTS)
    decoder = FastMaskDecoder(model, torch.float64, request.param)
    image = decoder.prepare(features)
    wanted_bmhw = metas_answer(model, features, sparse_bnc, None)[0]
    return decoder, image, decoder.decode(image, sparse_bnc), wanted_bmhw


class TestMaskLogits:
    @pytest.mark.parametrize(
        "pairs",
        [
            pytest.param([(4, 2)], id="one"),
            pytest.param([(3, 1), (0, 0), (3, 3), (0, 2), (1, 1)], id="any order"),
            pytest.param([(2, 1), (2, 1)], id="twice the same"),
        ],
    )
    def test_chosen_pairs_are_metas(
        self,
        answers: Answers,
        pairs: list[tuple[int, int]],
    ) -> None:
        decoder, image, decoded, wanted_bmhw = answers
        prompt_index, token_index = np.array(pairs).T
        logits_khw = decoder.mask_logits(image, decoded, prompt_index, token_index)
        torch.testing.assert_close(
            logits_khw, wanted_bmhw[prompt_index, token_index], atol=1e-9, rtol=0
        )

    def test_empty_selection(self, answers: Answers) -> None:
        decoder, image, decoded, wanted_bmhw = answers
        none = np.empty(0, np.int64)
        logits_khw = decoder.mask_logits(image, decoded, none, none)
        assert logits_khw.shape == (0, *wanted_bmhw.shape[2:])

    def test_no_prompts(self, answers: Answers) -> None:
        decoder, image, decoded, _ = answers
        nothing = decoder.decode(image, torch.empty(0, 2, decoded.mask_tokens_bmc.shape[-1]))
        assert nothing.iou_bm.shape == (0, 4)

    def test_same_in_every_chunking(self, answers: Answers) -> None:
        decoder, image, _, wanted_bmhw = answers
        sparse_bnc, _ = prompts(network("demo", torch.float64), "one point", torch.float64, PROMPTS)
        single = [all_logits(decoder, image, decoder.decode(image, x[None])) for x in sparse_bnc]
        torch.testing.assert_close(torch.cat(single), wanted_bmhw, atol=1e-9, rtol=0)

    def test_logits_are_float32_in_half_precision(self) -> None:
        model = network("demo", torch.float32)
        decoder = FastMaskDecoder(model, torch.bfloat16)
        image = decoder.prepare(embedding(model, torch.float32))
        decoded = decoder.decode(image, prompts(model, "one point", torch.float32, 1)[0])
        assert all_logits(decoder, image, decoded).dtype == torch.float32
        assert decoded.iou_bm.dtype == torch.float32


def test_two_pictures_and_two_threads_do_not_mix() -> None:
    model = network("demo", torch.float32)
    decoder = FastMaskDecoder(model)
    sparse_bnc, _ = prompts(model, "one point", torch.float32, PROMPTS)
    one = embedding(model, torch.float32)
    other = Embedding(one.image_embed_bchw.flip(-1), one.high_res_feats, one.image_hw)
    images = [decoder.prepare(features) for features in (one, other)]

    def answer(image: PreparedImage) -> Tensor:
        return all_logits(decoder, image, decoder.decode(image, sparse_bnc))

    alone = [answer(image) for image in images]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(answer, images * 4))
    assert not torch.equal(alone[0], alone[1])
    for i, logits in enumerate(together):
        assert torch.equal(logits, alone[i % 2])
