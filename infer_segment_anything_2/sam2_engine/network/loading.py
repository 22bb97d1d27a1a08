"""From a weights file to Meta's network on a device, without leaving a trace in the process.

Which of the known networks a file belongs to is read from its tensors, never from its name: the
width and depth of the image encoder give the size, two tensors of the video part the version.

Files are read with PyTorch's restricted unpickler (``weights_only=True``) or as safetensors, so a
file can hold numbers and nothing that runs. The network is built from the YAML file in the sam2
package by ``hydra.utils.instantiate``, which is a plain function: no global Hydra takes part.

One network per weights, device, precision and picture size is shared by all tasks of the process,
and its memory is given back when the last of them lets go.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from infer_segment_anything_2.errors import (
    DeviceError,
    MismatchedCheckpointError,
    first_line,
    listed,
)
from infer_segment_anything_2.sam2_engine.hardware.forking import ProcessLock
from infer_segment_anything_2.sam2_engine.network.architectures import (
    check_finite,
    check_fit,
    identify_network,
)
from infer_segment_anything_2.sam2_engine.network.building import (
    build_network,
)
from infer_segment_anything_2.sam2_engine.network.casting import cast_encoder
from infer_segment_anything_2.sam2_engine.network.state_dicts import (
    read_networks,
    warn_of_gaps,
)
from infer_segment_anything_2.sam2_engine.network.wrappings import FoundNetwork
from infer_segment_anything_2.sam2_engine.settings import OnProgress
from infer_segment_anything_2.sam2_engine.weights.checkpoints import Checkpoint
from infer_segment_anything_2.sam2_engine.weights.finding import WeightsFile, find_weights

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["LoadedModel", "load_model", "load_weights"]

_logger = logging.getLogger("ikomia.infer_segment_anything_2.model_loading")


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network that is ready to be used, shared between all who asked for the same.

    Whoever uses ``network`` keeps this object too: when the last reference to it goes, the next one
    to ask reads the file again.

    Attributes:
        network: Meta's network in evaluation mode, without gradients. Nobody may change it. Weights
            are float32, but those of the image encoder's products are in ``encoder_precision``. It
            chooses no mask by stability (``apply_postprocessing=False`` in Meta's words); callers
            do.
        architecture: The row of the official network that it has the shape of; its name, version
            and image size hold also for a user's own weights.
        weights: The file that it came from; ``weights.sha256`` identifies the numbers.
        device: Where it lies, with index.
        precision: In which number format the callers mean to run it.
        encoder_precision: The same of its image encoder.
    """

    network: SAM2Base
    architecture: Checkpoint
    weights: WeightsFile
    device: torch.device
    precision: torch.dtype
    encoder_precision: torch.dtype

    @property
    def digest(self) -> str:
        """SHA-256 of the weights file."""
        return self.weights.sha256

    @property
    def version(self) -> str:
        """Which release of SAM 2 the network is of: "2.0" or "2.1"."""
        return self.architecture.version


_lock = ProcessLock()
_Key = tuple[str, torch.device, torch.dtype, torch.dtype, int | None]
_shared: weakref.WeakValueDictionary[_Key, LoadedModel] = weakref.WeakValueDictionary()


def load_model(
    name: str,
    model_path: str = "",
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    encoder_precision: torch.dtype | None = None,
    image_size_px: int | None = None,
    progress: OnProgress | None = None,
) -> LoadedModel:
    """The network of that name, or of the user's own weights, on a device.

    Safe to call from several threads: they get the same object, loaded once.

    Args:
        name: Name of a checkpoint; not looked at when ``model_path`` is given.
        model_path: Path of a user's own weights, "" for none.
        device: Where to put it.
        precision: Number format that the caller will run it in; part of what is shared.
        encoder_precision: The same of its image encoder; ``precision`` if None.
        image_size_px: The side that it is to see pictures at, a multiple of 32; its own if None,
            which alone is what it was trained for.
        progress: Told of a download; may raise ``CancelledError``.

    Raises:
        CheckpointError: The weights are missing, damaged or of another kind of network.
        DependencyError: The sam2 or safetensors package is missing or unusable.
        DeviceError: The device has too little memory for the weights.
        ParameterError: The name is unknown, or no file lies at ``model_path``.
        CancelledError: ``progress`` asked to stop.
    """
    return load_weights(
        find_weights(name, model_path, progress=progress),
        device=device,
        precision=precision,
        encoder_precision=encoder_precision,
        image_size_px=image_size_px,
    )


def load_weights(
    weights: WeightsFile,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    encoder_precision: torch.dtype | None = None,
    image_size_px: int | None = None,
) -> LoadedModel:
    """The network of a weights file that is there; see :func:`load_model`."""
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    encoder_precision = encoder_precision or precision
    key = (weights.sha256, device, precision, encoder_precision, image_size_px)
    # One lock for all: a load takes seconds, and the import of sam2 must not run twice at once.
    with _lock:
        model = _shared.get(key)
        if model is None:
            network, architecture = _network_from_file(weights, image_size_px)
            if encoder_precision != torch.float32:
                cast_encoder(network, encoder_precision)
            network = _moved(network, device, architecture)
            model = LoadedModel(
                network, architecture, weights, device, precision, encoder_precision
            )
            _shared[key] = model
    return model


def _moved(network: SAM2Base, device: torch.device, architecture: Checkpoint) -> SAM2Base:
    try:
        return network.to(device)
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"The device '{device}' has too little free memory for {architecture.name}: expected "
            f"{4 * architecture.parameter_count / 2**20:.0f} MiB for its weights alone. Choose a "
            "smaller model, close what else uses the device, or set cuda to False. "
            f"PyTorch says: {first_line(error)}"
        ) from error


def _network_from_file(
    weights: WeightsFile, image_size_px: int | None
) -> tuple[SAM2Base, Checkpoint]:
    if weights.checkpoint is None:
        warn_of_gaps(weights.path, torch.torch_version.TorchVersion(torch.__version__))
    networks = read_networks(weights.path)
    network, architecture = _first_whole(networks, weights.path, image_size_px)
    if weights.checkpoint is None:
        _logger.info("%s: own weights of the network %s", weights.path, architecture.name)
        check_finite(network, weights.path)
    return network, architecture


def _first_whole(
    networks: list[FoundNetwork], path: Path, image_size_px: int | None
) -> tuple[SAM2Base, Checkpoint]:
    """Builds the first network of a file that has all its tensors, and says which where it matters.

    Raises:
        MismatchedCheckpointError: None has; tells of the first.
    """
    refused: list[MismatchedCheckpointError] = []
    for found in networks:
        try:
            architecture = identify_network(found.tensors, path)
            network = build_network(architecture, image_size_px)
            check_fit(network, found.tensors, architecture, path)
        except MismatchedCheckpointError as error:
            refused.append(error)
            continue
        network.load_state_dict(found.tensors)  # copies, and widens halves to float32
        if refused:
            _logger.warning(
                "%s: the weights %s are not whole (%d tensors missing, %d unexpected); those "
                "%s are, and are used instead.",
                path,
                networks[0].place,
                len(refused[0].missing),
                len(refused[0].unexpected),
                found.place,
            )
        elif found.strangers or len(networks) > 1:
            others = [f"the network {one.place}" for one in networks if one is not found]
            _logger.info(
                "%s: the weights %s are used; not used: %s.",
                path,
                found.place,
                listed([*others, *found.strangers]),
            )
        return network, architecture
    raise refused[0]
