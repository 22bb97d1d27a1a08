"""Whether the chosen weights are on this machine, and a button that fetches them.

The download runs in a thread that knows no Qt: it leaves its state in a plain object, and a timer
looks at that. So the window never waits, and may be closed at any time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QHBoxLayout, QProgressBar, QToolButton, QVBoxLayout, QWidget

from infer_segment_anything_2.errors import CancelledError, SegmentAnythingError
from infer_segment_anything_2.sam2_engine.weights.checkpoints import Checkpoint
from infer_segment_anything_2.sam2_engine.weights.finding import checkpoint_folders, find_weights
from infer_segment_anything_2.sam2_form.widgets import (
    ColouredText,
    connect,
    error_colour,
    hint_colour,
)

__all__ = ["WeightsPanel"]

_LOOK_EVERY_MS = 100
_STEPS = 1000


@dataclass
class _Fetch:
    """One download, as far as it has come; written by its thread, read by the panel."""

    row: Checkpoint
    done_bytes: int = 0
    error: str = ""
    is_over: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Fetches the weights; never raises, for nobody would hear."""
        try:
            find_weights(self.row.name, progress=self._progress)
        except CancelledError:
            pass
        except SegmentAnythingError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - else the bar would stand still for ever
            self.error = f"The download failed: {type(error).__name__}: {error}"
        self.is_over = True

    def _progress(self, done_bytes: int, _total_bytes: int) -> None:
        if self.stop.is_set():
            raise CancelledError("The download was stopped on request.")
        self.done_bytes = done_bytes


class WeightsPanel(QWidget):
    """Shows where the weights of a model are; fetches and stops on request."""

    def __init__(self) -> None:
        super().__init__()
        self._row: Checkpoint | None = None
        self._fetch: _Fetch | None = None
        self._state = ColouredText(hint_colour)
        self._state.setObjectName("weights_state")
        self._error = ColouredText(error_colour)
        self._button = QToolButton()
        self._button.setObjectName("weights_button")
        connect(self._button.clicked, self._pressed)
        self._bar = QProgressBar()
        self._bar.setRange(0, _STEPS)
        line = QHBoxLayout()
        line.addWidget(self._button)
        line.addWidget(self._bar, stretch=1)
        line.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._state)
        layout.addLayout(line)
        layout.addWidget(self._error)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_EVERY_MS)
        connect(self._timer.timeout, self._look)

    def show_model(self, row: Checkpoint | None) -> None:
        """Shows the state of a model's weights; None where weights of one's own are used."""
        if row is not self._row:
            self._error.set_text("")
        self._row = row
        self._look()

    def stop(self) -> None:
        """Ends a download at its next block; what has arrived is kept for the next time."""
        if self._fetch is not None:
            self._fetch.stop.set()

    def _pressed(self) -> None:
        if self._fetch is not None:
            self.stop()
        elif self._row is not None:
            self._error.set_text("")
            self._fetch = _Fetch(self._row)
            # Daemon: a stalled server must not keep Studio from closing.
            threading.Thread(target=self._fetch.run, name="fetch-weights", daemon=True).start()
            connect(self.destroyed, self._fetch.stop.set)
            self._timer.start()
        self._look()

    def _look(self) -> None:
        """Shows the present state."""
        if self._fetch is not None and self._fetch.is_over:
            self._error.set_text(self._fetch.error)
            self._fetch = None
            self._timer.stop()
        fetch = self._fetch
        self._bar.setVisible(fetch is not None)
        if fetch is not None:
            self._show_progress(fetch)
        elif self._row is not None:
            is_here = _is_here(self._row)
            self._state.set_text(_whereabouts(self._row, is_here=is_here))
            self._button.setText(f"Fetch now ({_megabytes(self._row.size_bytes)})")
            self._button.setEnabled(True)
            self._button.setVisible(not is_here)
        self.setVisible(self._row is not None or fetch is not None)

    def _show_progress(self, fetch: _Fetch) -> None:
        size_bytes = fetch.row.size_bytes
        self._bar.setValue(min(_STEPS, fetch.done_bytes * _STEPS // size_bytes))
        is_stopping = fetch.stop.is_set()
        self._state.set_text(
            f"{'Stopping' if is_stopping else 'Fetching'} {fetch.row.name}: "
            f"{fetch.done_bytes / 1e6:.0f} of {_megabytes(size_bytes)}"
        )
        self._button.setText("Stop")
        self._button.setEnabled(not is_stopping)
        self._button.setVisible(True)


def _is_here(row: Checkpoint) -> bool:
    """Whether weights are on this machine, by the look of it: a run checks their content."""
    return row.is_bundled or any(
        (folder / row.file_name).is_file() for folder in checkpoint_folders()
    )


def _whereabouts(row: Checkpoint, *, is_here: bool) -> str:
    if row.is_bundled:
        return "Weights: come with the plugin."
    if is_here:
        return "Weights: on this machine."
    return "Weights: not on this machine; the first run fetches them, or the button does now."


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
