"""Where a network's tensors are in what a training program saved.

Told by the tensors, not by the names around them: wherever the weight that every SAM 2 encoder
begins with is found, what comes before its name is the wrapping of all. What wrappers put inside a
name (``image_encoder._orig_mod.trunk``) says nothing of the network and is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

__all__ = ["PATCH_KEY", "FoundNetwork", "networks_in"]

PATCH_KEY = "image_encoder.trunk.patch_embed.proj.weight"
_ENCODER = "image_encoder"
_DEEPEST = 4
# Names of averaged weights, which are taken only where there are no others.
_AVERAGES = ("ema", "swa", "average", "shadow", "teacher", "polyak")
# How torch.compile, DataParallel, FSDP, activation checkpointing and DeepSpeed call what they wrap.
# No part of SAM 2 has such a name.
_WRAPPERS = frozenset(
    {
        "_orig_mod",
        "module",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",
    }
)


class FoundNetwork(NamedTuple):
    """A SAM 2 network in a file, whole or not.

    Attributes:
        keys: The dictionaries that lead to it.
        prefix: What all its names begin with there.
        tensors: By Meta's names.
        strangers: Names in the same dictionary that are not of this network.
    """

    keys: tuple[str, ...]
    prefix: str
    tensors: dict[str, torch.Tensor]
    strangers: tuple[str, ...]

    @property
    def is_average(self) -> bool:
        """Whether the names around it are those of averaged weights."""
        words = " ".join((*self.keys, self.prefix)).lower()
        return any(word in words for word in _AVERAGES)

    @property
    def place(self) -> str:
        """Where it lies in the file, in words."""
        place = f"under the key '{'.'.join(self.keys)}'" if self.keys else "at the file's top"
        return f"{place}, names that begin with '{self.prefix}'" if self.prefix else place


def networks_in(content: object) -> list[FoundNetwork]:
    """Finds the SAM 2 networks of a file, the one to be preferred first.

    Takes them from dictionaries in dictionaries, and from behind any common beginning of the names:
    Lightning, DataParallel, ``torch.compile``, a network in an attribute. Of several networks the
    plain one comes before averaged ones (EMA, SWA), the outer before the inner.

    Args:
        content: What a weights file holds.
    """
    return sorted(_networks(content, ()), key=lambda one: (one.is_average, len(one.keys)))


def _networks(content: object, keys: tuple[str, ...]) -> Iterator[FoundNetwork]:
    if not isinstance(content, Mapping) or len(keys) > _DEEPEST:
        return
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    prefixes = {prefix for name in tensors if (prefix := _prefix_of(name)) is not None}
    longest_first = sorted(prefixes, key=len, reverse=True)
    owner = {name: next(filter(name.startswith, longest_first), None) for name in tensors}
    for prefix in reversed(longest_first):
        yield _network(
            keys,
            prefix,
            {name: tensor for name, tensor in tensors.items() if owner[name] == prefix},
            [name for name in tensors if owner[name] is None],
        )
    inner: Mapping[Any, Any] = content
    for key, value in inner.items():
        if isinstance(key, str):
            yield from _networks(value, (*keys, key))


def _prefix_of(name: str) -> str | None:
    """What stands before Meta's name if this is the encoder's first weight, else None."""
    prefix, encoder, rest = name.rpartition(_ENCODER)
    is_patch = encoder and _without_wrappers(encoder + rest) == PATCH_KEY
    return prefix if is_patch and (not prefix or prefix.endswith(".")) else None


def _network(
    keys: tuple[str, ...],
    prefix: str,
    tensors: Mapping[str, torch.Tensor],
    strangers: Sequence[str],
) -> FoundNetwork:
    own: dict[str, torch.Tensor] = {}
    doubles = []
    # Shortest first: of two tensors that differ in wrappers only, the bare one is taken.
    for name in sorted(tensors, key=len):
        bare = _without_wrappers(name.removeprefix(prefix)) or name
        if bare in own:
            doubles.append(name)
        else:
            own[bare] = tensors[name]
    return FoundNetwork(keys, prefix, own, (*strangers, *doubles))


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
