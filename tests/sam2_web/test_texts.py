"""What is taken along from the page, read back by the real readers."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_2.parameters import ROWS, Parameters, stringify
from infer_segment_anything_2.sam2_batch.flags import make_parser
from infer_segment_anything_2.sam2_web.texts import PROGRAM, as_command, as_python

OBJECTS = (
    '[{"points": [[12.5, 7], [3, 4]], "labels": [1, 0], "category": "dog\'s \\"ear\\""}, '
    '{"box": [1, 2, 30, 40], "mask": {"size": [40, 50], "counts": "PQ\\\\1"}}]'
)
PICTURE = Path('my pictures/it\'s "one".jpg')
CASES = [
    Parameters(),
    Parameters(input_objects=OBJECTS, multimask_output=True),
    Parameters(
        model_name="sam2_demo_nano", iou_thresh=0.5, duplicates="mask", use_m2m=True, cuda=False
    ),
    Parameters(region_of_interest="[[1, 2], [30, 4], [5, 60]]", apply_postprocessing=False),
    Parameters(model_path="123"),
]


def set_parameters_of(program: str) -> dict[str, Any]:
    """What a program hands to ``set_parameters``."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "set_parameters":
            values: dict[str, Any] = ast.literal_eval(node.args[0])
            return values
    raise AssertionError(program)


@pytest.mark.parametrize("parameters", CASES)
class TestReadBack:
    def test_python_gives_the_same_parameters(self, parameters: Parameters) -> None:
        program = as_python(parameters, PICTURE)
        read = Parameters.from_strings(stringify(set_parameters_of(program)))
        for row in ROWS:
            if row.key == "input_objects" and parameters.input_objects:
                assert ast.literal_eval(read.input_objects) == ast.literal_eval(
                    parameters.input_objects
                )
            elif row.kind == "text" and parameters.value_of(row.key):
                assert str(read.value_of(row.key)) == str(parameters.value_of(row.key))
            else:
                assert read.value_of(row.key) == parameters.value_of(row.key)
        assert f"wf.run_on(path={str(PICTURE)!r})" in program or '\\"' in program

    def test_command_gives_the_same_parameters(self, parameters: Parameters) -> None:
        program, *words = shlex.split(as_command(parameters, PICTURE))
        assert program == PROGRAM

        options = make_parser({}).parse_args(words)
        assert options.pictures == [str(PICTURE)]
        texts = {row.key: getattr(options, row.key) for row in ROWS}
        read = Parameters.from_strings(stringify({k: v for k, v in texts.items() if v is not None}))
        assert read == parameters


def test_tells_in_which_output_a_chosen_candidate_is() -> None:
    program = as_python(Parameters(input_objects=OBJECTS), PICTURE, outputs=[1, 3])
    assert "# object 2: candidate 3, which is in output 3\n" in program
    assert "object 1" not in program
