"""How long OpenMP's threads spin, as OpenMP itself tells where torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LOAD = """
import os
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.segmentation import Segmenter
Segmenter().load(Parameters(model_name="sam2_demo_nano", cuda=False))
assert "GOMP_SPINCOUNT" not in os.environ or os.environ["GOMP_SPINCOUNT"] != "1000"
"""


def spins(given: dict[str, str], program: str = LOAD) -> set[str]:
    """What each OpenMP of a new process says of its spinning."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, **given, "OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    lines = [line for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not lines:
        pytest.skip("this torch does not come with libgomp")
    return {line.split("'")[1] for line in lines}


class TestShortSpinning:
    def test_is_what_torch_gets_and_nobody_else(self) -> None:
        assert "1000" in spins({})

    def test_leaves_the_choice_of_the_user(self) -> None:
        assert spins({"GOMP_SPINCOUNT": "77"}) == {"77"}
        assert "1000" not in spins({"OMP_WAIT_POLICY": "ACTIVE"})

    def test_holds_for_the_engine_alone(self) -> None:
        program = "from infer_segment_anything_2.sam2_engine import Engine"
        assert "1000" in spins({}, program)
