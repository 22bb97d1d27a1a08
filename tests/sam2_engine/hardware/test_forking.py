"""Forked children: multiprocessing's usual way on Linux, web servers, data loaders."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

WORK = """
import multiprocessing, threading
import numpy as np, torch
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.segmentation import Segmenter

torch.set_num_threads(2)
picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
click = Parameters(model_name="sam2_demo_nano", cuda=False, input_point="[[60, 45]]")
grid = Parameters(model_name="sam2_demo_nano", cuda=False, points_per_side=3, iou_thresh=0.0,
                  iou_thres=0.0, stability_score_thresh=0.0)
segmenter = Segmenter()

def areas(_=0):
    return [
        [rle.area_px for rle in one.segment(picture, asked).ranked[0].rles]
        for one, asked in ((segmenter, click), (Segmenter(), click), (segmenter, grid))
    ]
"""


def run(body: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WORK + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_children_answer_as_their_parent_does() -> None:
    assert (
        run(
            """
        expected = areas()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            answers = pool.map_async(areas, range(4)).get(timeout=200)
        print(all(answer == expected for answer in answers), areas() == expected)
        """
        )
        == "True True"
    )


def test_child_forked_in_the_middle_of_the_parents_work_answers() -> None:
    assert (
        run(
            """
        expected, stop = areas(), threading.Event()
        def go_on():
            while not stop.is_set():
                areas()
        busy = threading.Thread(target=go_on)
        busy.start()
        with multiprocessing.get_context("fork").Pool(1) as pool:
            answer = pool.map_async(areas, range(1)).get(timeout=200)
        stop.set()
        busy.join()
        print(answer == [expected])
        """
        )
        == "True"
    )


def test_child_of_a_parent_that_used_pytorch_itself_answers() -> None:
    assert (
        run(
            """
            a = torch.rand(600, 600)
            a @ a
            with multiprocessing.get_context("fork").Pool(1) as pool:
                answer = pool.map_async(areas, range(1)).get(timeout=200)
            print(answer == [areas()])
            """
        )
        == "True"
    )
