"""What is taken along from the page: the same run as Python, as a command, as a list of prompts.

Only what was given is written. The texts are made here, from the parameters themselves, so that
whoever pastes them gets the masks that the page showed.
"""

from __future__ import annotations

import ast
import contextlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_reading.parameter_rows import ParameterRow

__all__ = ["as_command", "as_python", "chosen_rows", "video_as_python"]

PROGRAM = "infer-segment-anything-2"
_GROUPS_OF_LISTS = frozenset({"prompts", "everything"})
_INDENT = "    "


def chosen_rows(parameters: Parameters) -> list[ParameterRow]:
    """The parameters that were given, under their own names only."""
    return [row for row in ROWS if row.key in parameters.given and not row.alias_of]


def as_python(parameters: Parameters, picture: Path, outputs: Sequence[int] = ()) -> str:
    """A program for Ikomia that gives the masks on the page.

    Args:
        parameters: Of the run.
        picture: What it is run on.
        outputs: Per object the rank (1 to 3) of the candidate that was chosen; it is told in a
            comment, as no parameter picks one.
    """
    values = "".join(
        f'{_INDENT}"{row.key}": {_value(row, parameters)},\n' for row in chosen_rows(parameters)
    )
    chosen = "".join(
        f"# object {number}: candidate {rank}, which is in output {rank}\n"
        for number, rank in enumerate(outputs, start=1)
        if rank != 1
    )
    return (
        "from ikomia.dataprocess.workflow import Workflow\n\n"
        "wf = Workflow()\n"
        'algo = wf.add_task(name="infer_segment_anything_2", auto_connect=True)\n'
        f"algo.set_parameters({{\n{values}}})\n"
        f"wf.run_on(path={_source(str(picture))})\n"
        f"masks = algo.get_output(1)\n{chosen}"
    )


def video_as_python(parameters: Parameters, video: Path) -> str:
    """A program for Ikomia that follows through a video what is followed on the page.

    Args:
        parameters: Of the run; each prompt names its frame and its object.
        video: A file; of a folder of frames Ikomia makes single pictures, which is said instead.
    """
    if video.is_dir():
        return (
            "# Ikomia follows objects through video files; make one of these frames, or take the\n"
            "# command along.\n"
        )
    frames = "# each frame runs; the outputs hold the last one (docs/video.md tells more)\n"
    return as_python(parameters, video).replace("wf.run_on(", f"{frames}wf.run_on(")


def as_command(
    parameters: Parameters, path: Path, command: Literal["segment", "track"] = "segment"
) -> str:
    """The same run as a command for a POSIX shell.

    Args:
        parameters: Of the run.
        path: The picture, or for ``track`` the video.
        command: Which one.
    """
    words = [PROGRAM, command, str(path)]
    for row in chosen_rows(parameters):
        flag = row.key.replace("_", "-")
        value = parameters.value_of(row.key)
        if row.kind == "bool":
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", row.format(value)]
    return shlex.join(words)


def _value(row: ParameterRow, parameters: Parameters) -> str:
    """A parameter's value as Python source; lists stand as lists, not as their text."""
    value: object = parameters.value_of(row.key)
    if row.group in _GROUPS_OF_LISTS and row.kind == "text":
        with contextlib.suppress(ValueError):
            value = json.loads(str(value))
    return _source(value)


def _source(value: object) -> str:
    """A value as Python source, in double quotes where that can be."""
    written = json.dumps(value)
    with contextlib.suppress(ValueError):  # JSON's true, false and null are no Python
        if ast.literal_eval(written) == value:
            return written
    return repr(value)
