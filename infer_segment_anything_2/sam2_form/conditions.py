"""Which fields have no effect under the present settings, and why; one row per reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from infer_segment_anything_2.errors import PromptError, counted
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.prompt_text import objects_from_text

__all__ = ["LABELS", "mode_in_words", "unused"]

LABELS = {row.key: row.label for row in ROWS}
"""The name of each field for people, by its key."""


@dataclass(frozen=True)
class _Reason:
    """Why some fields have no effect.

    Attributes:
        keys: The fields.
        holds: Whether it is so.
        because: The key of the parameter that decides.
        state: What that one is, in words that follow its label.
    """

    keys: tuple[str, ...]
    holds: Callable[[Parameters], bool]
    because: str
    state: str

    @property
    def words(self) -> str:
        """The reason as a sentence without its full stop."""
        return f"{LABELS[self.because]} is {self.state}"


# The first reason that holds is the one that is told.
_REASONS = (
    _Reason(("model_name",), lambda values: bool(values.model_path), "model_path", "set"),
    _Reason(
        ("crop_n_layers", "crop_overlap_ratio", "crop_n_points_downscale_factor"),
        lambda values: values.tile_size > 0,
        "tile_size",
        "set, and tiles replace crop layers",
    ),
    _Reason(
        ("crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor"),
        lambda values: values.crop_n_layers == 0 and values.tile_size == 0,
        "crop_n_layers",
        "off",
    ),
    _Reason(("tile_overlap",), lambda values: values.tile_size == 0, "tile_size", "off"),
    _Reason(
        ("points_per_side", "adaptive_points", "crop_n_points_downscale_factor"),
        lambda values: bool(values.point_grids.strip()),
        "point_grids",
        "set",
    ),
    _Reason(
        ("stability_score_offset",),
        lambda values: values.stability_score_thresh == 0,
        "stability_score_thresh",
        "off",
    ),
)


def unused(values: Parameters) -> dict[str, str]:
    """The fields without effect, with the reason for each."""
    reasons: dict[str, str] = {}
    for reason in _REASONS:
        if reason.holds(values):
            for key in reason.keys:
                reasons.setdefault(key, reason.words)
    return reasons


def mode_in_words(values: Parameters) -> str:
    """What a run with these settings does, by the prompts that are typed."""
    try:
        typed = [
            *objects_from_text(values.input_point, values.input_point_label, values.input_box),
            *objects_from_entries(values.input_objects),
        ]
    except PromptError:
        return "Mode: nothing runs until the prompt below is mended."
    if not typed:
        return "Mode: everything, unless a point or box is drawn or an input prompts."
    count = counted(len(typed), "typed object")
    return f"Mode: prompts ({count}, and what is drawn). Everything mode is not used."
