"""What a terminal shows while a run fetches its weights."""

from __future__ import annotations

import fcntl
import functools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PLUGIN_NAME, REPOSITORY

# The official weights cannot be had offline: another row names the bundled network's file, which
# a server on this machine sends.
RUN = f"""
import dataclasses, hashlib, pathlib, sys
from {PLUGIN_NAME}.sam2_engine.weights import checkpoints

content = pathlib.Path(sys.argv[1]).read_bytes()
checkpoints.CHECKPOINTS = {{
    **checkpoints.CHECKPOINTS,
    "sam2_hiera_tiny": dataclasses.replace(
        checkpoints.CHECKPOINTS["sam2_hiera_tiny"],
        file_name="weights.pt",
        url_path="sam2_demo_nano.pt",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    ),
}}
from {PLUGIN_NAME}.sam2_batch.command_line import main

sys.exit(main(sys.argv[2:]))
"""
WEIGHTS = REPOSITORY / PLUGIN_NAME / "demo_model" / "sam2_demo_nano.pt"


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server_url() -> Iterator[str]:
    handler = functools.partial(Silent, directory=str(WEIGHTS.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def shown_on_a_terminal(words: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """The exit code of a program whose standard error is a terminal, and what stood there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, **environment},
        cwd=REPOSITORY,
    ) as program:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 1 << 16):
                shown += block
        except OSError:  # how Linux says that nobody holds the other end any more
            pass
        os.close(ours)
    return program.returncode, shown.decode()


class TestDownloadBar:
    def test_is_the_only_one_while_weights_come(self, server_url: str, tmp_path: Path) -> None:
        picture = tmp_path / "a.png"
        Image.fromarray(np.full((48, 64, 3), 40, np.uint8)).save(picture)
        code, shown = shown_on_a_terminal(
            [
                *("-c", RUN, str(WEIGHTS), "segment", str(picture), "--no-cuda", "--point", "9,9"),
                *("--model-name", "sam2_hiera_tiny", "--out", str(tmp_path / "out")),
            ],
            {"SAM2_CHECKPOINT_DIR": str(tmp_path / "weights"), "SAM2_CHECKPOINT_URL": server_url},
        )
        assert code == 0, shown
        frames = [frame for frame in re.split(r"[\r\n]+|\x1b\[A", shown) if frame.strip()]
        names = [frame.split(":")[0].strip() for frame in frames]
        assert names[0] == "weights.pt"
        last = len(names) - 1 - names[::-1].index("weights.pt")
        assert set(names[: last + 1]) == {"weights.pt"}
        assert "100%" in frames[last]
        assert "download" not in names
        assert any("picture" in frame for frame in frames[last + 1 :])
