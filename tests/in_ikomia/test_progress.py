"""What Studio shows of a run that goes on, and what its stop button does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia

# Every mask of a coarse grid: the way matters here, not the network.
LENIENT = {"iou_thresh": 0.0, "stability_score_thresh": 0.0}
MANY_BOXES = [[x, y, x + 20, y + 20] for x in range(0, 100, 20) for y in range(0, 100, 12)]


class Bar:
    """Studio's bar: how many steps were announced and made, and how full it was each time."""

    def __init__(self, task: Any) -> None:
        self.announced: int = task.get_progress_steps()
        self.made = 0
        self.fill: list[float] = []
        self.before_step: Callable[[], None] = lambda: None
        task.emit_add_sub_progress_steps = self._announce
        task.emit_step_progress = self._step

    def _announce(self, steps: int) -> None:
        self.announced += steps

    def _step(self) -> None:
        self.before_step()
        self.made += 1
        self.fill.append(self.made / self.announced)


Watch = Callable[[Any], Bar]


class FileThatNeverArrives(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(10**9))
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(2**16))
        except OSError:
            pass  # whoever asked has hung up

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Instead of Meta's; gives the folder that the weights go to."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FileThatNeverArrives) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("SAM2_CHECKPOINT_DIR", str(tmp_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield tmp_path
        server.shutdown()
        thread.join()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Puts bars on tasks, and takes them off: a task that holds what holds it never goes."""
    watched: list[Any] = []

    def put(task: Any) -> Bar:
        watched.append(task)
        return Bar(task)

    yield put
    for task in watched:
        del task.emit_add_sub_progress_steps, task.emit_step_progress


class TestBar:
    @pytest.mark.parametrize(
        ("parameters", "fewest_moves"),
        [
            pytest.param({"points_per_side": 8, **LENIENT}, 64, id="points"),
            pytest.param({"points_per_side": 4, "crop_n_layers": 1, **LENIENT}, 80, id="crops"),
            pytest.param({"input_point": [60, 30]}, 2, id="click"),
            pytest.param({"input_box": MANY_BOXES}, len(MANY_BOXES), id="boxes"),
            pytest.param({"points_per_side": 16, **LENIENT}, 100, id="not more than 100"),
        ],
    )
    def test_moves_all_the_way(
        self,
        new_workflow: NewWorkflow,
        watch: Watch,
        photo: np.ndarray,
        parameters: dict[str, Any],
        fewest_moves: int,
    ) -> None:
        workflow, task = new_workflow(**parameters)
        workflow.init_long_process()
        bar = watch(task)
        workflow.run_on(array=photo)
        assert bar.made == bar.announced
        assert fewest_moves < bar.made <= fewest_moves + 2  # and the run itself, and the encoder
        assert max(bar.fill) == bar.fill[-1] == 1

    def test_moves_between_the_encoder_and_the_prompts(
        self,
        new_workflow: NewWorkflow,
        watch: Watch,
        photo: np.ndarray,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        workflow, task = new_workflow(input_point=[60, 30])
        workflow.init_long_process()
        order: list[str] = []
        bar = watch(task)
        bar.before_step = lambda: order.append("step")
        decoder = task._segmenter.load(task.get_param_object().values)._decoder

        def noted(name: str) -> Callable[..., Any]:
            real = getattr(decoder, name)

            def call(*arguments: Any, **named: Any) -> Any:
                order.append(name)
                return real(*arguments, **named)

            return call

        for name in ("prepare", "decode"):  # what follows the encoder, what the prompts go through
            monkeypatch.setattr(decoder, name, noted(name))
        workflow.run_on(array=photo)
        assert order == ["prepare", "step", "decode", "step", "step"]

    def test_tells_of_a_download(
        self, new_workflow: NewWorkflow, watch: Watch, photo: np.ndarray, slow_server: Path
    ) -> None:
        workflow, task = new_workflow(model_name="sam2.1_hiera_tiny")
        bar = watch(task)
        made_at_stop: list[int] = []

        def stop_at_the_third() -> None:
            if bar.made == 3:
                made_at_stop.append(bar.made)
                task.stop()

        bar.before_step = stop_at_the_third
        workflow.run_on(array=photo)
        assert bar.announced > 100 and made_at_stop == [3]


class TestStop:
    @pytest.mark.parametrize(
        "parameters",
        [
            pytest.param({"points_per_side": 64, **LENIENT}, id="points"),
            pytest.param({"points_per_side": 16, "crop_n_layers": 2, **LENIENT}, id="crops"),
            pytest.param({"input_box": MANY_BOXES}, id="boxes"),
        ],
    )
    def test_is_heard_at_the_next_step(
        self, new_workflow: NewWorkflow, watch: Watch, photo: np.ndarray, parameters: dict[str, Any]
    ) -> None:
        workflow, task = new_workflow(**parameters)
        workflow.init_long_process()
        bar = watch(task)
        bar.before_step = task.stop
        workflow.run_on(array=photo)  # raises nothing: nobody stopped the workflow itself
        # What one batch of work moves at most, of many: 16 boxes.
        assert bar.made <= 16 < bar.announced
        assert task.get_output(1).get_object_count() == 0
        assert not task.get_output(5).is_data_available()
        assert np.array_equal(task.get_output(0).get_image(), photo)  # the host shows something

    def test_in_a_download_leaves_no_weights_and_the_task_usable(
        self, new_workflow: NewWorkflow, watch: Watch, photo: np.ndarray, slow_server: Path
    ) -> None:
        workflow, task = new_workflow(model_name="sam2.1_hiera_tiny", input_point=[60, 30])
        bar = watch(task)
        bar.before_step = task.stop
        workflow.run_on(array=photo)
        assert [path.name for path in slow_server.glob("*.pt")] == []
        assert task.get_output(1).get_object_count() == 0
        task.set_parameters({"model_name": "sam2_demo_nano"})
        bar.before_step = lambda: None
        workflow.run_on(array=photo)
        assert task.get_output(1).get_object_count() == 1

    def test_before_a_run_does_not_end_it(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(input_point=[60, 30])
        task.stop()
        workflow.run_on(array=photo)
        assert task.get_output(1).get_object_count() == 1

    def test_of_one_task_does_not_stop_another(
        self, new_workflow: NewWorkflow, watch: Watch, photo: np.ndarray
    ) -> None:
        first, stopped = new_workflow(points_per_side=32, **LENIENT)
        second, other = new_workflow(input_point=[60, 30])
        bar = watch(stopped)

        def stop_and_run_the_other() -> None:
            stopped.stop()
            second.run_on(array=photo)

        bar.before_step = stop_and_run_the_other
        first.run_on(array=photo)
        assert stopped.get_output(1).get_object_count() == 0
        assert other.get_output(1).get_object_count() == 1
