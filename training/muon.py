"""Muon in single precision: steps of matrices along the nearest half-orthogonal ones.

``torch.optim.Muon`` reckons in bfloat16: on a processor without bfloat16 units that takes twice as
long as all the rest of a training step. This one reckons in float32, and takes matrices of one
shape together.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

# Keller Jordan's coefficients (2024): they blow small singular values up to about 1 in five rounds.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
# AdamW's steps have about this root mean square; Muon's are scaled to it (Liu et al., 2025).
_ADAMW_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Momentum, made half-orthogonal; with weight decay apart from it.

    Args:
        parameters: Matrices.
        lr: Learning rate, on AdamW's scale.
        weight_decay: Share of a weight that a step of rate 1 takes away.
        momentum: Share of the earlier direction that is kept; Nesterov's form.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Does one step; parameters without gradient stay as they are."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, alike in by_shape.items():
                directions = torch.stack(
                    [self._direction(p, p.grad, group["momentum"]) for p in alike]
                )
                rate = group["lr"] * _ADAMW_RMS * max(shape) ** 0.5
                steps = half_orthogonal(directions) * rate
                for parameter, step in zip(alike, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step)

    def _direction(
        self, parameter: torch.nn.Parameter, gradient: Tensor | None, momentum: float
    ) -> Tensor:
        state = self.state[parameter]
        if gradient is None:
            raise ValueError("A parameter without gradient has no direction.")
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - momentum)
        return gradient.lerp(buffer, momentum)


def half_orthogonal(matrices_nhw: Tensor) -> Tensor:
    """Finds about the nearest matrices whose singular values are all alike (0.7 to 1.2).

    Args:
        matrices_nhw: N matrices of one shape.

    Returns:
        As many matrices, of the same singular vectors.
    """
    flip = matrices_nhw.shape[1] > matrices_nhw.shape[2]
    x: Tensor = matrices_nhw.mT if flip else matrices_nhw
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if flip else x
