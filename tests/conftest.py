"""What all tests share: a home of their own, the plugin in a real Ikomia, pictures, networks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from infer_segment_anything_2.segmentation import Segmenter

# Before anything is imported that reads them: Ikomia takes its folders from HOME when it starts,
# torch its cache, Qt its platform, OpenMP how it waits.
_HOME = tempfile.TemporaryDirectory(prefix="sam2_tests_")
os.environ.update(
    HOME=_HOME.name,
    XDG_CACHE_HOME=str(Path(_HOME.name) / "cache"),
    TORCH_HOME=str(Path(_HOME.name) / "torch"),
    IKOMIA_AUTO_COMPLETION="0",
    QT_QPA_PLATFORM="offscreen",
    # Waiting threads sleep: spinning ones take the cores that others wait for on a busy machine.
    OMP_WAIT_POLICY="passive",
)
os.environ.pop("SAM2_CHECKPOINT_DIR", None)
os.environ.pop("SAM2_CHECKPOINT_URL", None)

# No test is judged by the time that it takes: that says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parent.parent
PLUGIN_NAME = "infer_segment_anything_2"
# The plugin's packages of the first level, the only ones that the host knows.
SHELVES = {path.parent.name for path in (REPOSITORY / PLUGIN_NAME).glob("*/__init__.py")}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Meta's code and the tests' own, which ask for it nowhere, compute rightly beside Ikomia.

    Not a fixture: those of a module or a session are set up before any of a test's own.
    """
    from infer_segment_anything_2.sam2_engine.hardware.openmp import full_teams

    with full_teams():
        return (yield)


@pytest.fixture(scope="session")
def ikomia_home() -> Iterator[Path]:
    """The folder of a real Ikomia in which the plugin is linked."""
    plugins = Path(_HOME.name) / "Ikomia" / "Plugins" / "Python"
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / PLUGIN_NAME).symlink_to(REPOSITORY / PLUGIN_NAME)
    yield plugins.parent.parent
    (plugins / PLUGIN_NAME).unlink()


@pytest.fixture
def new_workflow(ikomia_home: Path) -> Callable[..., tuple[Any, Any]]:
    """Makes a workflow with our task behind the root; returns both."""
    from ikomia.dataprocess.workflow import Workflow

    def make(**parameters: object) -> tuple[Any, Any]:
        workflow = Workflow()
        task = workflow.add_task(name=PLUGIN_NAME, auto_connect=True)
        task.set_parameters({"model_name": "sam2_demo_nano", **parameters})
        return workflow, task

    return make


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    from infer_segment_anything_2.segmentation import Segmenter

    return Segmenter()
