"""What a tab has set, on top of what the command was given."""

from __future__ import annotations

from collections.abc import Mapping

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.parameters import Parameters, check_names, stringify
from infer_segment_anything_2.request import raise_first, text_errors

__all__ = ["read_given"]

# Paths, and what would load another network behind the backs of other tabs.
_NOT_FROM_THE_PAGE = frozenset({"model_name", "model_path", "cuda", "precision"})


def read_given(given: Mapping[str, object], base: Parameters) -> Parameters:
    """The parameters of a run.

    Args:
        given: What a tab has set.
        base: What all runs start from.

    Raises:
        ParameterError: A name or a value is wrong, or a value is not the page's to choose.
        PromptError: A prompt makes no sense in itself.
    """
    check_names(given)
    for key in _NOT_FROM_THE_PAGE & given.keys():
        raise ParameterError(
            f"{key} is set where the page was started, not on it; stop the page, and start it "
            f"with --{key.replace('_', '-')}.",
            key=key,
        )
    parameters = Parameters.from_strings(stringify(given), base=base)
    raise_first(text_errors(parameters))
    return parameters
