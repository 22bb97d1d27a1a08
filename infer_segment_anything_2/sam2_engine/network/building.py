"""Meta's network from its config, without a trace in the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from infer_segment_anything_2 import PLUGIN_FOLDER
from infer_segment_anything_2.errors import (
    DependencyError,
)
from infer_segment_anything_2.sam2_engine.weights.checkpoints import Checkpoint

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["build_network"]


def build_network(architecture: Checkpoint, image_size_px: int | None = None) -> SAM2Base:
    """Meta's network on the CPU in evaluation mode, its weights not yet set.

    Built as ``sam2.build_sam.build_sam2(config, apply_postprocessing=False)`` does, except that
    neither random numbers nor a GPU nor Hydra's global state are touched.

    Args:
        architecture: Which network.
        image_size_px: The side that it sees pictures at, a multiple of 32; its own if None.

    Raises:
        DependencyError: The sam2 package is missing or unusable.
    """
    with _sam2_imported() as sam2_folder:
        from hydra.utils import instantiate
        from omegaconf import OmegaConf

        folder = PLUGIN_FOLDER if architecture.is_bundled else sam2_folder
        config = OmegaConf.load(folder / architecture.config)
        for position_encoding in (
            config.model.image_encoder.neck.position_encoding,
            config.model.memory_encoder.position_encoding,
        ):
            # Or it would compute its tables on the GPU, if there is one, whatever the device.
            position_encoding.warmup_cache = False
        if image_size_px is not None:
            config.model.image_size = image_size_px
        with _NoSideEffects():
            network: SAM2Base = instantiate(config.model)
    return network.eval().requires_grad_(False)


@contextmanager
def _sam2_imported() -> Iterator[Path]:
    """Import what of the sam2 package a network is built from; gives the package's folder.

    ``import sam2`` initialises Hydra for the whole process unless somebody else has. It is made to
    believe so, so that nothing is initialised and nothing has to be taken back.
    """
    try:
        from hydra.core.global_hydra import GlobalHydra

        global_hydra = GlobalHydra.instance()
        before = global_hydra.hydra
        if before is None:
            global_hydra.hydra = _TAKEN
        try:
            import sam2.modeling.sam2_base
        finally:
            if global_hydra.hydra is _TAKEN:
                global_hydra.hydra = before
    except ImportError as error:
        raise DependencyError(
            "The package sam2 cannot be used: expected sam2 1.1.0 to import, got "
            f"{type(error).__name__}: {error}. Run: pip install sam2==1.1.0"
        ) from error
    yield Path(sam2.__path__[0])


_TAKEN: Any = object()  # stands where Hydra's state would


class _NoSideEffects(TorchFunctionMode):
    """Builds a network without random numbers and without a GPU.

    The constructors fill every weight with random numbers, which the checkpoint then replaces: that
    takes seconds for the large network and moves the generator of the whole process. They also copy
    small tables to the GPU where there is one, whichever device is wanted; the network does that
    itself when it runs.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            func = torch.zeros
        elif func is torch.Tensor.to and args[1:2] == ("cuda",):
            return args[0]
        return func(*args, **kwargs)


_RANDOM_FILLS = frozenset(
    {
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        torch.nn.init.kaiming_uniform_,
        torch.nn.init.normal_,
        torch.nn.init.uniform_,
    }
)
