"""What a run's tables were made with, so that masks of two kinds never mix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.errors import ExportError, ParameterError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.cluster.folders import Folder
from infer_segment_anything_2.sam2_batch.done_marks import differences, digest_of, settings_of
from infer_segment_anything_2.sam2_batch.result_names import SETTINGS_NAME
from infer_segment_anything_2.sam2_engine.weights.checkpoints import get_checkpoint
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights

__all__ = ["check_machine", "check_settings", "remembered_parameters", "run_settings"]

_MACHINE_NAME = "run.json"
_OWN_PROMPTS = "prompts"
_NO_PARAMETERS = ("weights_sha256", "plugin_version", "tables", _OWN_PROMPTS)


def run_settings(parameters: Parameters, *, own_prompts: bool) -> dict[str, Any]:
    """What decides how the masks of a run look, in JSON types.

    Args:
        parameters: Of the run.
        own_prompts: Whether pictures bring prompts of their own.

    Raises:
        ParameterError: No file lies at ``model_path``.
        CheckpointError: The user's own weights cannot be read.
    """
    # Official weights are known by their row: whoever hands out the work need not have them.
    if parameters.model_path:
        sha256 = find_weights(parameters.model_name, parameters.model_path).sha256
    else:
        sha256 = get_checkpoint(parameters.model_name).sha256
    return {
        **settings_of(parameters),
        "tables": 1,
        "plugin_version": __version__,
        "weights_sha256": sha256,
        **({_OWN_PROMPTS: "of each picture"} if own_prompts else {}),
    }


def check_settings(folder: Folder, settings: Mapping[str, Any]) -> str:
    """Makes the folder one of these settings, or sees that it is.

    Returns:
        Their digest, which stands in every row.

    Raises:
        ParameterError: It holds results of others; the message tells the differences.
        ExportError: The settings cannot be read or written.
    """
    earlier = _read(folder, SETTINGS_NAME)
    if earlier is None:
        folder.put_text(SETTINGS_NAME, json.dumps(settings) + "\n")
    elif changes := differences(earlier, settings):
        raise ParameterError(
            f"{folder.place} holds results of other settings ({changes}); give the same settings, "
            "or another place for the results."
        )
    return digest_of(dict(settings))


def remembered_parameters(folder: Folder) -> tuple[Parameters, bool]:
    """The parameters of a run, and whether its pictures brought prompts of their own.

    Raises:
        ExportError: There is no run, or its settings cannot be read.
    """
    settings = _read(folder, SETTINGS_NAME)
    if settings is None or "tables" not in settings:
        raise ExportError(
            f"{folder.place} must be the folder of a run with --format parquet or --on ray, got "
            f"one without its {SETTINGS_NAME}; correct the path."
        )
    texts = {key: text for key, text in settings.items() if key not in _NO_PARAMETERS}
    return Parameters.from_strings(texts), _OWN_PROMPTS in settings


def check_machine(folder: Folder, machine: Mapping[str, str]) -> None:
    """Sees that all workers of a run compute alike; the first decides.

    Args:
        folder: Of the run.
        machine: Device, precision and weights of this worker.

    Raises:
        ParameterError: The run's are others.
        ExportError: What the first one wrote cannot be read.
    """
    first = _read(folder, _MACHINE_NAME)
    if first is None:
        folder.put_text(_MACHINE_NAME, json.dumps(machine) + "\n")
    elif changes := differences(first, machine, words=("is {!r} there", "{!r} here")):
        raise ParameterError(
            f"All workers of {folder.place} must compute alike, got one that does not ({changes}); "
            "give workers of one kind, or set --precision, and --no-cuda where some have no GPU, "
            "in a run to another place."
        )


def _read(folder: Folder, name: str) -> dict[str, Any] | None:
    content = folder.read(name)
    if content is None:
        return None
    try:
        settings = json.loads(content)
    except ValueError as error:
        raise ExportError(
            f"{folder.place}/{name} must be JSON that an earlier run wrote, got: {error}; choose "
            "another place for the results."
        ) from error
    return settings if isinstance(settings, dict) else {}
