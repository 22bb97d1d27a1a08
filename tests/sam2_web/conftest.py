"""The page's own command in a process of its own, on small pictures."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from tests.conftest import REPOSITORY
from tests.video_clips import write_clip
from tests.videos import clip

PAGE = [sys.executable, "-m", "infer_segment_anything_2", "page"]
MODEL = ["--model-name", "sam2_demo_nano", "--no-browser"]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_MS = 120_000
N_FRAMES = 6
CLIP_HW = (96, 128)


@dataclass(frozen=True)
class Page:
    """A running page.

    Attributes:
        process: The command.
        address: As it printed it, without the fragment.
        token: The fragment.
        folder: Its pictures: ``a cup.png``, ``b.png``, ``broken.png``; its videos: ``broken.mp4``,
            ``clip.mp4``.
        out: Where it writes.
    """

    process: subprocess.Popen[str]
    address: str
    token: str
    folder: Path
    out: Path

    @property
    def port(self) -> str:
        return self.address.rstrip("/").rpartition(":")[2]


def start_page(folder: Path, out: Path, *flags: str) -> Page:
    process = subprocess.Popen(
        [*PAGE, str(folder), "--out", str(out), *MODEL, "--points-per-side", "6", *flags],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"(http://\S+/)#(\S+)", line):
            return Page(process, found[1], found[2], folder, out)
    raise AssertionError(said)


def end_page(page: Page) -> str:
    """Presses Ctrl-C; returns what the command said since its address."""
    page.process.send_signal(signal.SIGINT)
    _, said = page.process.communicate(timeout=120)
    return said


def ask(
    page: Page,
    path: str,
    body: object = None,
    *,
    method: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    sent = {"x-page-token": page.token, **(headers or {})}
    text = None if body is None else json.dumps(body)
    with closing(
        http.client.HTTPConnection("127.0.0.1", int(page.port), timeout=300)
    ) as connection:
        connection.request(method or ("GET" if body is None else "POST"), path, text, sent)
        with connection.getresponse() as answer:
            return answer.status, answer.read(), answer.headers


def unpacked(packed: bytes, image_hw: tuple[int, int]) -> tuple[dict[str, Any], list[Rle]]:
    (length,) = struct.unpack_from("<I", packed)
    head = json.loads(packed[4 : 4 + length])
    counts = np.frombuffer(packed, "<u4", offset=4 + length)
    rles, begin = [], 0
    for mask in (mask for masks in head["ranks"] for mask in masks):
        rles.append(Rle(image_hw, counts[begin : begin + mask["runs"]].astype(np.uint32)))
        begin += mask["runs"]
    assert begin == len(counts)
    return head, rles


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(data.coffee()[::2, ::2]).save(folder / "a cup.png")
    Image.fromarray(data.astronaut()[::4, ::4]).save(folder / "b.png")
    (folder / "broken.png").write_bytes(b"no picture")
    write_clip(folder / "clip.mp4", clip(N_FRAMES, *CLIP_HW))
    (folder / "broken.mp4").write_bytes(b"no video")
    running = start_page(folder, tmp_path_factory.mktemp("page") / "results")
    yield running
    if running.process.poll() is None:
        end_page(running)
