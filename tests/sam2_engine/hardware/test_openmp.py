"""OpenMP's dynamic mode, which Ikomia switches on, is off while the engine computes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.hardware.openmp import full_teams
from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.settings import GridSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libgomp, as PyTorch has on Linux")


@pytest.fixture
def openmp() -> Iterator[Any]:
    """PyTorch's OpenMP with the dynamic mode on, as after the import of Ikomia."""
    library = ctypes.CDLL(None)
    library.omp_set_dynamic(1)
    yield library
    library.omp_set_dynamic(0)


class TestFullTeams:
    def test_holds_inside_only(self, openmp: Any) -> None:
        with full_teams():
            assert not openmp.omp_get_dynamic()
            with full_teams():
                pass
            assert not openmp.omp_get_dynamic()
        assert openmp.omp_get_dynamic()

    def test_ends_with_an_error_too(self, openmp: Any) -> None:
        with pytest.raises(KeyError), full_teams():
            raise KeyError
        assert openmp.omp_get_dynamic()

    def test_leaves_a_thread_without_the_mode_alone(self, openmp: Any) -> None:
        seen: list[int] = []

        def look() -> None:
            with full_teams():
                seen.append(openmp.omp_get_dynamic())
            seen.append(openmp.omp_get_dynamic())

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen == [0, 0]


def test_workers_have_full_teams_where_all_threads_are_dynamic(openmp: Any) -> None:
    def look(_: int) -> bool:
        was_on = bool(openmp.omp_get_dynamic())
        openmp.omp_set_dynamic(1)  # as OMP_DYNAMIC does before a thread's first work
        return was_on

    with PromptWorkers(torch.device("cpu")) as workers:
        assert not any(workers.map(look, range(8)))


@pytest.mark.parametrize("verb", ["embed", "predict", "generate"])
def test_engine_computes_with_full_teams(
    verb: str, openmp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    fold, prepare, decode = (
        FastMaskDecoder.__init__,
        FastMaskDecoder.prepare,
        FastMaskDecoder.decode,
    )

    def look_and_fold(*arguments: Any, **options: Any) -> None:
        seen.append(openmp.omp_get_dynamic())
        fold(*arguments, **options)

    def look_and_prepare(*arguments: Any) -> Any:
        seen.append(openmp.omp_get_dynamic())
        return prepare(*arguments)

    def look_and_decode(*arguments: Any) -> Any:
        seen.append(openmp.omp_get_dynamic())
        return decode(*arguments)

    monkeypatch.setattr(FastMaskDecoder, "__init__", look_and_fold)
    monkeypatch.setattr(FastMaskDecoder, "prepare", look_and_prepare)
    monkeypatch.setattr(FastMaskDecoder, "decode", look_and_decode)
    engine = Engine(load_model("sam2_demo_nano", device=torch.device("cpu")))
    picture = np.zeros((40, 50, 3), np.uint8)
    image = engine.embed(picture)
    if verb == "predict":
        engine.predict(image, [ObjectPrompt(((20, 20),), (1,))])
    elif verb == "generate":
        engine.generate(picture, GridSettings(points_per_side=2))
    assert len(seen) >= (2 if verb == "embed" else 3)
    assert not any(seen)
    assert openmp.omp_get_dynamic()


def test_half_precision_is_to_be_had_beside_ikomia() -> None:
    """In a process that imports Ikomia first, and counts as busy when the machine is."""
    program = """
from ikomia import core
import torch
from infer_segment_anything_2.sam2_engine.hardware.devices import choose_precision
print(choose_precision("bfloat16", torch.device("cpu")))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "torch.bfloat16", run.stderr
