"""Weights in the form: are they here, and fetching them from a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PyQt6 import sip
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from infer_segment_anything_2.sam2_form.form import ParameterForm
from tests.sam2_form.form_user import editor, make_form, shown_texts

pytestmark = pytest.mark.qt

TINY = CHECKPOINTS["sam2.1_hiera_tiny"]


class SlowServer(ThreadingHTTPServer):
    """Begins to send a file and waits; answers 404 when told to."""

    daemon_threads = True
    is_empty = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.may_go_on = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: SlowServer

    def do_GET(self) -> None:
        if self.server.is_empty:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(TINY.size_bytes))
        self.end_headers()
        try:
            while not self.server.may_go_on.wait(0.02):
                self.wfile.write(bytes(1 << 20))
        except OSError:
            pass  # the other side stopped

    def log_message(self, *_values: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowServer]:
    server = SlowServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SAM2_CHECKPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("SAM2_CHECKPOINT_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield server
    server.may_go_on.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def tiny_form(qtbot: QtBot, server: SlowServer) -> ParameterForm:
    return make_form(qtbot, model_name=TINY.name)


class TestState:
    def test_of_missing_weights_offers_to_fetch_them(self, tiny_form: ParameterForm) -> None:
        assert "not on this machine" in shown_texts(tiny_form)
        assert editor(tiny_form, "weights_button").text() == "Fetch now (156 MB)"

    def test_of_weights_that_are_there(
        self, qtbot: QtBot, server: SlowServer, tmp_path: Path
    ) -> None:
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / TINY.file_name).touch()
        form = make_form(qtbot, model_name=TINY.name)
        assert "Weights: on this machine." in shown_texts(form)
        assert not editor(form, "weights_button").isVisible()

    def test_follows_the_model(self, tiny_form: ParameterForm) -> None:
        names = editor(tiny_form, "model_name")
        names.setCurrentIndex(names.findData("sam2_demo_nano"))
        assert "come with the plugin" in shown_texts(tiny_form)
        editor(tiny_form, "model_path").setText("/weights.pt")
        assert "Weights:" not in shown_texts(tiny_form)


class TestFetching:
    def test_shows_progress_and_stops(self, qtbot: QtBot, tiny_form: ParameterForm) -> None:
        button = editor(tiny_form, "weights_button")
        button.click()
        assert button.text() == "Stop"
        qtbot.waitUntil(lambda: "Fetching sam2.1_hiera_tiny: 0" not in shown_texts(tiny_form))
        qtbot.waitUntil(lambda: "of 156 MB" in shown_texts(tiny_form))
        button.click()
        qtbot.waitUntil(lambda: button.text().startswith("Fetch now"))
        assert "not on this machine" in shown_texts(tiny_form)

    def test_says_in_words_what_went_wrong(
        self, qtbot: QtBot, server: SlowServer, tiny_form: ParameterForm
    ) -> None:
        server.is_empty = True
        editor(tiny_form, "weights_button").click()
        qtbot.waitUntil(lambda: "the server answered 404" in shown_texts(tiny_form))
        assert editor(tiny_form, "weights_button").text().startswith("Fetch now")

    def test_ends_when_the_form_is_closed(self, server: SlowServer) -> None:
        form = ParameterForm(Parameters(model_name=TINY.name))
        editor(form, "weights_button").click()
        (thread,) = (t for t in threading.enumerate() if t.name == "fetch-weights")
        sip.delete(form)
        thread.join(timeout=20)
        assert not thread.is_alive()
