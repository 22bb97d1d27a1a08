"""A run as a workflow file that ``Workflow.load`` and Studio open; written by Ikomia itself.

In a process of its own (``python -m`` this module), because importing Ikomia changes the process
that does it: how it computes, and what it logs.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from infer_segment_anything_2.errors import DependencyError, ExportError
from infer_segment_anything_2.parameters import Parameters

__all__ = ["has_ikomia", "write_workflow"]

_LONGEST_S = 120
_TASK = "infer_segment_anything_2"


def has_ikomia() -> bool:
    """Whether workflows can be written here; nothing is imported to know it."""
    return importlib.util.find_spec("ikomia") is not None


def write_workflow(parameters: Parameters, path: Path) -> None:
    """Writes a workflow of one task with these parameters.

    Raises:
        DependencyError: Ikomia is not installed.
        ExportError: Ikomia could not write it, for example because it does not have the plugin.
    """
    if not has_ikomia():
        raise DependencyError(
            "A workflow file is written by Ikomia, which is not installed here; pip install "
            "ikomia, or copy the Python text instead."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    task = {"path": str(path.absolute()), "parameters": parameters.to_strings()}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExportError(f"Ikomia did not write the workflow: {error}; try again.") from error
    if ended.returncode or not path.is_file():
        said = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ExportError(
            f"Ikomia did not write the workflow, it said: {said}; make sure that the plugin is "
            "installed in Ikomia (make install), or copy the Python text instead."
        )


def _main() -> None:
    from ikomia.dataprocess.workflow import Workflow

    task = json.load(sys.stdin)
    workflow = Workflow()
    workflow.add_task(name=_TASK, auto_connect=True).set_parameters(task["parameters"])
    workflow.save(task["path"])


if __name__ == "__main__":
    _main()
