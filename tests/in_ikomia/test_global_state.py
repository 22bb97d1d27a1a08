"""A run leaves the process as it found it: other code shares it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PLUGIN_NAME, REPOSITORY

# Run in a process of its own: here something else may have changed the state already.
READ_STATE = """
import hashlib, json, logging, os, pickle, random, signal, sys, threading, warnings

import hydra.core.global_hydra, numpy, torch, torchvision
CV2
def digest(value):
    return hashlib.sha256(pickle.dumps(value)).hexdigest()

def state():
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return {
        "hydra is initialised": hydra.core.global_hydra.GlobalHydra.instance().is_initialized(),
        "tf32": [cuda.allow_tf32, cudnn.allow_tf32, torch.get_float32_matmul_precision()],
        "half reductions": [
            cuda.allow_fp16_reduced_precision_reduction,
            cuda.allow_bf16_reduced_precision_reduction,
        ],
        "cudnn": [cudnn.enabled, cudnn.benchmark, cudnn.deterministic],
        "attention kernels": [
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            torch.backends.cuda.math_sdp_enabled(),
        ],
        "autocast": [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")],
        "gradients": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
        "torch's random numbers": digest(torch.get_rng_state().numpy().tobytes()),
        "torch's seed": torch.initial_seed(),
        "numpy's random numbers": digest(numpy.random.get_state()),
        "Python's random numbers": digest(random.getstate()),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads(), CV2_THREADS],
        "running threads": sorted(thread.name for thread in threading.enumerate()),
        "warning filters": digest(repr(warnings.filters)),
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "subnormal numbers": float("2e-310") / 2 > 0,
        "numpy's error handling": numpy.geterr(),
        "numpy's printing": repr(numpy.get_printoptions()),
        "environment": digest(sorted(os.environ.items())),
        "folder": os.getcwd(),
        "log": [logging.root.level, logging.root.disabled, len(logging.root.handlers)],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
        "path": sys.path[:],
        "excepthook": sys.excepthook is sys.__excepthook__,
    }
"""
ENGINE_RUN = """
from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import Parameters

before = state()
from infer_segment_anything_2.segmentation import Segmenter

segmenter = Segmenter()
image = numpy.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=numpy.uint8)
for texts in (
    {"points_per_side": "3", "iou_thresh": "0", "stability_score_thresh": "0", "use_m2m": "True"},
    {"points_per_side": "2", "crop_n_layers": "1", "overlap": "highest_score"},
    {"input_point": "[30, 30]", "multimask_output": "True", "input_size_percent": "50"},
    {"input_box": "[[5, 5, 50, 50], [1, 2, 30, 40]]", "precision": "bfloat16"},
):
    segmenter.segment(image, Parameters.from_strings({"model_name": "sam2_demo_nano", **texts}))
try:
    segmenter.segment(image, Parameters(model_name="sam2_demo_nano", input_point="[500, 500]"))
except PromptError:
    pass
else:
    raise AssertionError("was to fail")
print(json.dumps([before, state()]))
"""
HOST_RUN = """
from ikomia.dataprocess.workflow import Workflow

workflow = Workflow()
task = workflow.add_task(name=PLUGIN_NAME, auto_connect=True)
image = numpy.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=numpy.uint8)
before = state()
task.set_parameters({"model_name": "sam2_demo_nano", "points_per_side": 3, "iou_thresh": 0})
workflow.run_on(array=image)
task.set_parameters({"input_point": [[500, 500]]})
try:
    workflow.run_on(array=image)
except RuntimeError:
    pass
else:
    raise AssertionError("was to fail")
task.set_parameters({"input_point": [[30, 30]], "multimask_output": True})
workflow.run_on(array=image)
print(json.dumps([before, state()]))
"""


def states(script: str, home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of a fresh process before and after."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.strip().splitlines()[-1])
    return before, after


class TestEngine:
    def test_leaves_the_process_as_it_was(self, tmp_path: Path) -> None:
        script = READ_STATE.replace("CV2_THREADS", "0").replace("CV2", "") + ENGINE_RUN
        before, after = states(script, tmp_path)
        assert after == before
        assert not before["hydra is initialised"]

    def test_writes_nothing_at_home(self, tmp_path: Path) -> None:
        script = READ_STATE.replace("CV2_THREADS", "0").replace("CV2", "") + ENGINE_RUN
        states(script, tmp_path)
        assert list(tmp_path.rglob("*")) == []


@pytest.mark.ikomia
class TestTask:
    def test_leaves_the_process_as_it_was(self, ikomia_home: Path) -> None:
        script = READ_STATE.replace("CV2_THREADS", "cv2.getNumThreads()").replace(
            "CV2", "from ikomia import core\nimport cv2"
        ) + HOST_RUN.replace("PLUGIN_NAME", repr(PLUGIN_NAME))
        before, after = states(script, ikomia_home.parent)
        assert after == before
        assert not before["hydra is initialised"]
