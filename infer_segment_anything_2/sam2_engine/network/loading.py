"""From a weights file to Meta's network on a device, without leaving a trace in the process.

Which of the known networks a file belongs to is read from its tensors, never from its name: the
width and depth of the image encoder give the size, two tensors of the video part the version.

Files are read with PyTorch's restricted unpickler (``weights_only=True``) or as safetensors, so a
file can hold numbers and nothing that runs. The network is built from the YAML file in the sam2
package by ``hydra.utils.instantiate``, which is a plain function: no global Hydra takes part.

One network per weights, device and precision is shared by all tasks of the process, and its memory
is given back when the last of them lets go.
"""

from __future__ import annotations

import logging
import pickle
import struct
import threading
import warnings
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from infer_segment_anything_2 import PLUGIN_FOLDER
from infer_segment_anything_2.errors import (
    DamagedCheckpointError,
    DependencyError,
    DeviceError,
    MismatchedCheckpointError,
)
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    CHECKPOINTS,
    Checkpoint,
    DownloadProgress,
    WeightsFile,
    find_weights,
)

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

__all__ = [
    "LoadedModel",
    "build_network",
    "identify_network",
    "load_model",
    "load_weights",
    "read_state_dict",
]

_logger = logging.getLogger("ikomia.infer_segment_anything_2.model_loading")

StateDict = Mapping[str, torch.Tensor]

_CONTAINER_KEYS = ("model", "state_dict", "model_state_dict")
# What data-parallel training, torch.compile and a wrapping module put before every name.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.")
_PATCH_KEY = "image_encoder.trunk.patch_embed.proj.weight"
_BLOCK_PREFIX = "image_encoder.trunk.blocks."
_VERSION_2_1_KEYS = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight")
_NAMES_SHOWN = 5
_FIRST_TORCH_WITHOUT_KNOWN_GAPS = "2.10"  # CVE-2025-32434 and CVE-2026-24747

# What the two readers raise on files that are not weights: found by changing bytes at random.
_READER_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network that is ready to be used, shared between all who asked for the same.

    Whoever uses ``network`` keeps this object too: when the last reference to it goes, the next one
    to ask reads the file again.

    Attributes:
        network: Meta's network in evaluation mode, float32 weights, without gradients. Nobody may
            change it. It chooses no mask by stability (``apply_postprocessing=False`` in Meta's
            words); callers do.
        architecture: The row of the official network that it has the shape of; its name, version
            and image size hold also for a user's own weights.
        weights: The file that it came from; ``weights.sha256`` identifies the numbers.
        device: Where it lies, with index.
        precision: In which number format the callers mean to run it.
    """

    network: SAM2Base
    architecture: Checkpoint
    weights: WeightsFile
    device: torch.device
    precision: torch.dtype

    @property
    def digest(self) -> str:
        """SHA-256 of the weights file."""
        return self.weights.sha256

    @property
    def version(self) -> str:
        """Which release of SAM 2 the network is of: "2.0" or "2.1"."""
        return self.architecture.version


_lock = threading.Lock()
_shared: weakref.WeakValueDictionary[tuple[str, torch.device, torch.dtype], LoadedModel] = (
    weakref.WeakValueDictionary()
)


def load_model(
    name: str,
    model_path: str = "",
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    progress: DownloadProgress | None = None,
) -> LoadedModel:
    """The network of that name, or of the user's own weights, on a device.

    Safe to call from several threads: they get the same object, loaded once.

    Args:
        name: Name of a checkpoint; not looked at when ``model_path`` is given.
        model_path: Path of a user's own weights, "" for none.
        device: Where to put it.
        precision: Number format that the caller will run it in; part of what is shared.
        progress: Told of a download; may raise ``CancelledError``.

    Raises:
        CheckpointError: The weights are missing, damaged or of another kind of network.
        DependencyError: The sam2 or safetensors package is missing or unusable.
        DeviceError: The device has too little memory for the weights.
        ParameterError: The name is unknown, or no file lies at ``model_path``.
        CancelledError: ``progress`` asked to stop.
    """
    return load_weights(
        find_weights(name, model_path, progress=progress), device=device, precision=precision
    )


def load_weights(
    weights: WeightsFile, *, device: torch.device, precision: torch.dtype = torch.float32
) -> LoadedModel:
    """The network of a weights file that is there; see :func:`load_model`."""
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    key = (weights.sha256, device, precision)
    # One lock for all: a load takes seconds, and the import of sam2 must not run twice at once.
    with _lock:
        model = _shared.get(key)
        if model is None:
            network, architecture = _network_from_file(weights)
            network = _moved(network, device, architecture)
            model = LoadedModel(network, architecture, weights, device, precision)
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
            f"PyTorch says: {_first_line(error)}"
        ) from error


def _network_from_file(weights: WeightsFile) -> tuple[SAM2Base, Checkpoint]:
    if weights.checkpoint is None:
        _warn_of_gaps(weights.path, torch.torch_version.TorchVersion(torch.__version__))
    state_dict = read_state_dict(weights.path)
    architecture = identify_network(state_dict, weights.path)
    network = build_network(architecture)
    _check_fit(network, state_dict, architecture, weights.path)
    network.load_state_dict(state_dict)  # copies, and widens halves to float32
    if weights.checkpoint is None:
        _logger.info("%s: own weights of the network %s", weights.path, architecture.name)
        _check_finite(network, weights.path)
    return network, architecture


def _warn_of_gaps(path: Path, version: torch.torch_version.TorchVersion) -> None:
    # TorchVersion compares as versions do, also with plain text.
    if path.suffix.lower() != ".safetensors" and version < _FIRST_TORCH_WITHOUT_KNOWN_GAPS:
        _logger.warning(
            "%s: PyTorch %s has known gaps in its protection against weights that run code; these "
            "have no known hash. Use PyTorch %s or newer, or a .safetensors file.",
            path,
            version,
            _FIRST_TORCH_WITHOUT_KNOWN_GAPS,
        )


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by name, without the wrappings that training programs add.

    Accepts ``{"model": tensors}``, ``{"state_dict": tensors}``, bare tensors, names that all begin
    with ``module.``, and safetensors files (told by the ending ``.safetensors``).

    Raises:
        DamagedCheckpointError: The file is broken, holds other things than tensors (nothing of it
            is run), or holds no tensors by name.
        DependencyError: A safetensors file, and the package that reads it is not installed.
    """
    is_safetensors = path.suffix.lower() == ".safetensors"
    content = _read_safetensors(path) if is_safetensors else _read_torch(path)
    for key in _CONTAINER_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise _no_tensors(path, f"a {type(content).__name__}")
    if not content:
        raise _no_tensors(path, "an empty dictionary")
    for name, tensor in content.items():
        if not (isinstance(name, str) and isinstance(tensor, torch.Tensor)):
            raise _no_tensors(path, f"a {type(tensor).__name__} under '{str(name)[:80]}'")
    return _without_wrapper_prefixes(content)


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # On unusual files: those are read well or not, and then it is told of below.
            warnings.simplefilter("ignore")
            # Mapped, so that the tensors are not in memory twice while they are copied to the
            # network. Only the zip format, which torch.save has written since 2020, can be mapped.
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except _READER_ERRORS as error:
        raise DamagedCheckpointError(
            f"The weights file {path} cannot be read: expected tensors saved by torch.save, got a "
            "broken file or one that holds other Python objects, which are refused because "
            'loading them could run code. Save torch.save({"model": network.state_dict()}, path). '
            f"PyTorch says: {_first_line(error)}"
        ) from error


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise DependencyError(
            f"The weights file {path} needs the package safetensors: expected it to be installed, "
            f"got {error}. Run: pip install safetensors"
        ) from error
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, *_READER_ERRORS) as error:
        raise DamagedCheckpointError(
            f"The weights file {path} cannot be read: expected a safetensors file, got a broken "
            f"one. Copy or save it again. safetensors says: {_first_line(error)}"
        ) from error


def _without_wrapper_prefixes(tensors: StateDict) -> dict[str, torch.Tensor]:
    names = list(tensors)
    shortened = True
    while shortened:
        shortened = False
        for prefix in _WRAPPER_PREFIXES:
            if all(name.startswith(prefix) for name in names):
                names = [name.removeprefix(prefix) for name in names]
                shortened = True
    return dict(zip(names, tensors.values(), strict=True))


def _no_tensors(path: Path, got: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"The weights file {path} holds no tensors by name: expected a state dict, bare or under "
        f"the key 'model' or 'state_dict', got {got}. Save "
        'torch.save({"model": network.state_dict()}, path).'
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def identify_network(state_dict: StateDict, path: Path) -> Checkpoint:
    """The row of the official network that these tensors belong to.

    Args:
        state_dict: Tensors by name, see :func:`read_state_dict`. Only their shapes are looked at.
        path: Where they come from, for the message.

    Raises:
        MismatchedCheckpointError: The image encoder is none of the known ones.
    """
    patch_oihw = state_dict.get(_PATCH_KEY)
    if patch_oihw is None or patch_oihw.ndim != 4:
        raise _mismatch(
            path,
            "it has no SAM 2 image encoder",
            missing=(_PATCH_KEY,),
            unexpected=() if patch_oihw is not None else tuple(state_dict),
        )
    width = int(patch_oihw.shape[0])
    blocks = {
        name.removeprefix(_BLOCK_PREFIX).split(".", 1)[0]
        for name in state_dict
        if name.startswith(_BLOCK_PREFIX)
    }
    same_size = [
        row
        for row in CHECKPOINTS.values()
        if (row.encoder_width, row.encoder_blocks) == (width, len(blocks))
    ]
    if not same_size:
        known = sorted({(row.encoder_width, row.encoder_blocks) for row in CHECKPOINTS.values()})
        raise _mismatch(
            path,
            f"its image encoder is {width} wide and {len(blocks)} blocks deep, and the known ones "
            f"are {', '.join(f'{w} wide and {d} deep' for w, d in known)}",
        )
    version = "2.1" if any(name in state_dict for name in _VERSION_2_1_KEYS) else "2.0"
    # The demo network exists in one version only: there _check_fit tells what is missing.
    return next((row for row in same_size if row.version == version), same_size[0])


def _check_fit(
    network: SAM2Base, state_dict: StateDict, architecture: Checkpoint, path: Path
) -> None:
    expected = network.state_dict()
    missing = tuple(name for name in expected if name not in state_dict)
    unexpected = tuple(name for name in state_dict if name not in expected)
    misshapen = tuple(
        f"{name} ({_shape(state_dict[name])} instead of {_shape(tensor)})"
        for name, tensor in expected.items()
        if name in state_dict and not _fits(state_dict[name], tensor)
    )
    if missing or unexpected or misshapen:
        raise _mismatch(
            path,
            f"its nearest network is {architecture.name}, and that does not fit",
            missing=missing,
            unexpected=unexpected,
            misshapen=misshapen,
        )


def _fits(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    return (
        given.shape == wanted.shape
        and given.layout == torch.strided
        and not given.is_quantized
        and given.is_floating_point() == wanted.is_floating_point()
    )


def _shape(tensor: torch.Tensor) -> str:
    sizes = "x".join(str(size) for size in tensor.shape) or "scalar"
    return f"{sizes} {str(tensor.dtype).removeprefix('torch.')}"


def _mismatch(
    path: Path,
    reason: str,
    *,
    missing: tuple[str, ...] = (),
    unexpected: tuple[str, ...] = (),
    misshapen: tuple[str, ...] = (),
) -> MismatchedCheckpointError:
    listed = [
        f"{len(names)} {kind}: {', '.join(name[:200] for name in names[:_NAMES_SHOWN])}"
        + (", ..." if len(names) > _NAMES_SHOWN else "")
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if names
    ]
    message = (
        f"The weights in {path} fit none of the known SAM 2 networks: expected all tensors of one "
        f"of {', '.join(CHECKPOINTS)}, got a file of which {reason}. Save the whole network, "
        "video part included, as Meta's training does."
    )
    if listed:
        message += f" Tensors {'; '.join(listed)}."
    return MismatchedCheckpointError(message, missing=missing, unexpected=unexpected)


def _check_finite(network: SAM2Base, path: Path) -> None:
    bad = [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    if bad:
        raise DamagedCheckpointError(
            f"The weights in {path} are not all numbers: expected finite values, got NaN or "
            f"infinity in {len(bad)} tensors, first in {bad[0]}. Take a checkpoint from before "
            "the training diverged."
        )


def build_network(architecture: Checkpoint) -> SAM2Base:
    """Meta's network on the CPU in evaluation mode, its weights not yet set.

    Built as ``sam2.build_sam.build_sam2(config, apply_postprocessing=False)`` does, except that
    neither random numbers nor a GPU nor Hydra's global state are touched.

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
