"""Where a network's tensors are in what a training program saved.

Told by the tensors, not by the names around them: wherever the weight that every SAM 2 encoder
begins with is found, what comes before its name is the wrapping of all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

__all__ = ["PATCH_KEY", "unwrapped"]

_logger = logging.getLogger("ikomia.infer_segment_anything_2.model_loading")

PATCH_KEY = "image_encoder.trunk.patch_embed.proj.weight"
_DEEPEST = 4
# Names of averaged weights, which are taken only where there are no others.
_AVERAGES = ("ema", "swa", "average", "shadow", "teacher", "polyak")


class _Found(NamedTuple):
    """A place where a network lies.

    Attributes:
        keys: The dictionaries that lead to it.
        prefix: What all its names begin with.
        tensors: By name, with the prefix; strangers beside it too.
    """

    keys: tuple[str, ...]
    prefix: str
    tensors: dict[str, torch.Tensor]

    @property
    def is_average(self) -> bool:
        words = " ".join((*self.keys, self.prefix)).lower()
        return any(word in words for word in _AVERAGES)


def unwrapped(content: object) -> dict[str, torch.Tensor] | None:
    """The tensors of a SAM 2 network by Meta's names; None where there is none.

    Takes them from dictionaries in dictionaries, and from behind any common beginning of the names:
    Lightning, DataParallel, ``torch.compile``, a network in an attribute. Of several networks the
    plain one is taken before averaged ones (EMA, SWA), the outer before the inner.

    Args:
        content: What a weights file holds.
    """
    found = sorted(_networks(content, ()), key=lambda one: (one.is_average, len(one.keys)))
    if not found:
        return None
    chosen = found[0]
    strangers = [name for name in chosen.tensors if not name.startswith(chosen.prefix)]
    if strangers or len(found) > 1:
        place = ".".join(chosen.keys) or "the file itself"
        _logger.info(
            "Weights are taken from %s, names that begin with '%s'; %d other tensors and %d other "
            "networks of the file are not used.",
            place,
            chosen.prefix,
            len(strangers),
            len(found) - 1,
        )
    return {
        name.removeprefix(chosen.prefix): tensor
        for name, tensor in chosen.tensors.items()
        if name.startswith(chosen.prefix)
    }


def _networks(content: object, keys: tuple[str, ...]) -> Iterator[_Found]:
    if not isinstance(content, Mapping) or len(keys) > _DEEPEST:
        return
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    for name in tensors:
        prefix = name.removesuffix(PATCH_KEY)
        if prefix != name and (not prefix or prefix.endswith(".")):
            yield _Found(keys, prefix, tensors)
    inner: Mapping[Any, Any] = content
    for key, value in inner.items():
        if isinstance(key, str):
            yield from _networks(value, (*keys, key))
