"""The fast mask decoder against Meta's: time per prompt, and whether the answers are equal.

    OMP_NUM_THREADS=1 python -m benchmarks.mask_decoder [--prompts 16] [--repeats 5]

Official tiny architecture with random weights, prompts of one point, three masks per prompt. Both
sides run in turns in one process; each time is the median of the repeats. "One thread" is CPU time,
so that other programs on the machine disturb less; "two workers" is elapsed time, each worker with
half of the prompts.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import sam2
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder, PreparedImage
from infer_segment_anything_2.sam2_engine.image.embedding import Embedding

CONFIG = Path(sam2.__file__).parent / "configs" / "sam2.1" / "sam2.1_hiera_t.yaml"
MASKS = 3


def random_network() -> Any:
    """The official tiny architecture, with biases and gains away from zero and one."""
    torch.manual_seed(0)
    model = instantiate(OmegaConf.load(CONFIG).model).eval().requires_grad_(False)
    for part in (model.sam_mask_decoder, model.sam_prompt_encoder):
        for parameter in part.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn(parameter.shape)
    return model


def random_features(model: Any) -> Embedding:
    """Features of the sizes that the encoder gives."""
    channels, side = model.hidden_dim, model.sam_image_embedding_size
    return Embedding(
        torch.randn(1, channels, side, side),
        (
            torch.randn(1, channels // 8, 4 * side, 4 * side),
            torch.randn(1, channels // 4, 2 * side, 2 * side),
        ),
        (model.image_size, model.image_size),
    )


class Sides:
    """Meta's decoder and ours, on the same picture."""

    def __init__(self) -> None:
        self.model = random_network()
        self.features = random_features(self.model)
        self.decoders: dict[torch.dtype, tuple[FastMaskDecoder, PreparedImage]] = {}
        for dtype in (torch.float32, torch.bfloat16):
            decoder = FastMaskDecoder(self.model, dtype)
            self.decoders[dtype] = decoder, decoder.prepare(self.features)

    def points(self, n: int) -> Tensor:
        """Sparse embeddings of n random points."""
        coords = torch.rand(n, 1, 2) * self.model.image_size
        sparse_bnc: Tensor = self.model.sam_prompt_encoder((coords, torch.ones(n, 1)), None, None)[
            0
        ]
        return sparse_bnc

    @torch.no_grad()
    def meta(self, sparse_bnc: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the multi-mask tokens and predicted IoU."""
        encoder = self.model.sam_prompt_encoder
        logits_bmhw, iou_bm, _, _ = self.model.sam_mask_decoder.predict_masks(
            image_embeddings=self.features.image_embed_bchw
            + self.model.no_mem_embed.view(1, -1, 1, 1),
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse_bnc,
            dense_prompt_embeddings=encoder.no_mask_embed.weight.view(1, -1, 1, 1),
            repeat_image=True,
            high_res_features=list(self.features.high_res_feats),
        )
        return logits_bmhw[:, 1:], iou_bm

    def fast(self, dtype: torch.dtype, sparse_bnc: Tensor) -> tuple[Tensor, Tensor]:
        """The same by our decoder."""
        decoder, image = self.decoders[dtype]
        decoded = decoder.decode(image, sparse_bnc)
        pairs = np.arange(MASKS * len(decoded))
        logits_khw = decoder.mask_logits(image, decoded, pairs // MASKS, pairs % MASKS + 1)
        return logits_khw.view(len(decoded), MASKS, *logits_khw.shape[1:]), decoded.iou_bm


def medians(
    runs: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Seconds of each run, all in turns, after one turn to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sides = Sides()
    sparse_bnc = sides.points(arguments.prompts)
    halves = sparse_bnc.chunk(2)
    alone: dict[str, Callable[[Tensor], object]] = {
        "Meta": sides.meta,
        "float32": lambda sparse: sides.fast(torch.float32, sparse),
        "bfloat16": lambda sparse: sides.fast(torch.bfloat16, sparse),
    }
    single = {name: lambda run=run: run(sparse_bnc) for name, run in alone.items()}
    one = medians(single, arguments.repeats, time.process_time)
    with ThreadPoolExecutor(2) as pool:
        double = {name: lambda run=run: list(pool.map(run, halves)) for name, run in alone.items()}
        two = medians(double, arguments.repeats, time.perf_counter)

    logits, iou = sides.meta(sparse_bnc)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, ")
    print(f"{arguments.prompts} prompts, {MASKS} masks each, median of {arguments.repeats}\n")
    print(
        "| decoder | one thread, ms/prompt | ratio | two workers, ms/prompt | ratio | agreement |"
    )
    print("|---|---|---|---|---|---|")
    for name in alone:
        agreement = "reference"
        if name != "Meta":
            other, other_iou = sides.fast(getattr(torch, name), sparse_bnc)
            agreement = (
                f"logits within {float((other - logits).abs().max() / logits.std()):.1e} "
                f"of their deviation, IoU within {float((other_iou - iou).abs().max()):.1e}, "
                f"{float(((other > 0) != (logits > 0)).float().mean()):.1e} of the pixels differ"
            )
        ms_one, ms_two = (1e3 * times[name] / arguments.prompts for times in (one, two))
        print(
            f"| {name} | {ms_one:.1f} | {one['Meta'] / one[name]:.1f} "
            f"| {ms_two:.1f} | {two['Meta'] / two[name]:.1f} | {agreement} |"
        )


if __name__ == "__main__":
    main()
