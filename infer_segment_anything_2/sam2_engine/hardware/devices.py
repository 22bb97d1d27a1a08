"""Chooses where to compute and in which number format.

A GPU that is listed need not be one that works: a driver too old, or a card newer or older than the
kernels of the installed PyTorch, shows only when something is run. So the GPU is asked to multiply
and to convolve once per process before it is trusted.
"""

from __future__ import annotations

import logging
import time
import warnings

import torch

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.sam2_engine.hardware.forking import ProcessLock
from infer_segment_anything_2.sam2_engine.hardware.openmp import full_teams

__all__ = [
    "PRECISION_NAMES",
    "choose_device",
    "choose_encoder_precision",
    "choose_precision",
    "multiplies_rightly",
    "pick_precision",
    "probe_device",
    "wants_bulk",
]

_logger = logging.getLogger("ikomia.infer_segment_anything_2.devices")

PRECISION_NAMES = ("auto", "float32", "bfloat16", "float16", "bfloat16_encoder")

# Products as the encoder of pictures has them, and how much faster they must be to be worth it.
_PROBED_NKM = (1024, 512, 1024)
_WORTH_IT = 1.3

_PRODUCT_TOLERANCE = 0.05  # of the largest; bfloat16 has eight binary digits
_BFLOAT16_CAPABILITY = (8, 0)  # Ampere; older cards only emulate it
_FLOAT16_CAPABILITY = (7, 0)  # Volta, the first with fast half precision


class _OncePerProcess:
    """What has been found out and said in this process."""

    def __init__(self) -> None:
        self.lock = ProcessLock()
        self.complaint_by_device: dict[str, str] = {}
        self.said: set[str] = set()
        self.bfloat16_gain_by_device: dict[str, float] = {}

    def warn(self, message: str) -> None:
        """Log a warning unless the same was said before."""
        with self.lock:
            is_new = message not in self.said
            self.said.add(message)
        if is_new:
            _logger.warning("%s", message)


_process = _OncePerProcess()


def choose_device(cuda: bool) -> torch.device:
    """The device to compute on: the current GPU if wanted and working, else the CPU.

    A GPU that is there and does not work is told of in one warning per process. A machine without
    one is no reason to warn: to want it is the default.

    Args:
        cuda: Whether a GPU is wanted.
    """
    if not cuda:
        return torch.device("cpu")
    complaint = _complaint_about_gpu()
    if complaint is None:
        return torch.device("cpu")
    if complaint:
        _process.warn(
            f"The GPU cannot be used ({complaint}): computing on the CPU, which gives the same "
            "masks in more time. Set cuda to False to silence this."
        )
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def _complaint_about_gpu() -> str | None:
    """Why the current GPU is of no use, "" when it works; None where there is none."""
    # CUDA speaks of old drivers and unknown cards in Python warnings: they are the reason we want.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_there = torch.cuda.is_available()
    if not is_there:
        return "; ".join(str(warning.message) for warning in caught) or None
    device = torch.device("cuda", torch.cuda.current_device())
    with _process.lock:
        complaint = _process.complaint_by_device.get(str(device))
        if complaint is None:
            complaint = probe_device(device)
            _process.complaint_by_device[str(device)] = complaint
    return complaint


def wants_bulk(device: torch.device) -> bool:
    """Whether a device wants few operations on much, as a GPU does.

    A CPU wants tensors that stay in its caches. Both ways give the same masks, and both run on any
    device.
    """
    return device.type != "cpu"


def probe_device(device: torch.device) -> str:
    """Multiplies and convolve small matrices of ones on a device.

    Returns:
        "" when the numbers are right, else what went wrong, in one line.
    """
    try:
        with torch.inference_mode():
            ones_hw = torch.ones(64, 64, device=device)
            product_sum = float((ones_hw @ ones_hw).sum())
            kernel_oihw = torch.ones(1, 1, 3, 3, device=device)
            image_sum = float(torch.nn.functional.conv2d(ones_hw[None, None], kernel_oihw).sum())
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    if (product_sum, image_sum) != (64.0**3, 62.0 * 62.0 * 9.0):
        return f"it computes wrongly: {product_sum} and {image_sum} instead of 262144 and 34596"
    return ""


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The number format for the network on a device.

    A half precision that the device cannot run, or only more slowly than float32, is replaced by
    float32 with one warning per process, like a missing GPU by the CPU: the masks are right either
    way. bfloat16 on a CPU is granted where its products are right.

    Args:
        name: One of ``PRECISION_NAMES``.
        device: Where the network will run.

    Raises:
        ParameterError: The name is unknown.
    """
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    precision = pick_precision(name, capability)
    if name not in ("auto", "bfloat16_encoder", str(precision).removeprefix("torch.")):
        _process.warn(
            f"The device '{device}' does not run {name} well: computing in float32. "
            "Set precision to auto to have the best one chosen."
        )
    if precision != torch.float32 and not multiplies_rightly(device, precision):
        _process.warn(
            f"The device '{device}' multiplies wrongly in {str(precision).removeprefix('torch.')}: "
            "computing in float32. On a CPU the variable OMP_THREAD_LIMIT may be lower than "
            "OMP_NUM_THREADS, which breaks PyTorch's products; set both alike, or set precision to "
            "auto or float32 to silence this."
        )
        return torch.float32
    return precision


def choose_encoder_precision(name: str, device: torch.device) -> torch.dtype:
    """The number format for the image encoder; that of :func:`choose_precision` but for one name.

    ``bfloat16_encoder`` leaves all behind the encoder in float32. It is granted where products in
    bfloat16 are right and at least 1.3 times as fast, as on CPUs with AMX; elsewhere the encoder
    computes in float32 too, with one warning per process.

    Args:
        name: One of ``PRECISION_NAMES``.
        device: Where the network will run.

    Raises:
        ParameterError: The name is unknown.
    """
    if name != "bfloat16_encoder":
        return choose_precision(name, device)
    with _process.lock:
        gain = _process.bfloat16_gain_by_device.get(str(device))
        if gain is None:
            gain = bfloat16_gain(device)
            _process.bfloat16_gain_by_device[str(device)] = gain
    if gain >= _WORTH_IT and multiplies_rightly(device, torch.bfloat16):
        return torch.bfloat16
    _process.warn(
        f"The device '{device}' is not made for bfloat16: its products are {gain:.2g} times as "
        f"fast as in float32, expected {_WORTH_IT} times. The encoder computes in float32; set "
        "precision to auto to silence this."
    )
    return torch.float32


@full_teams()
def bfloat16_gain(device: torch.device) -> float:
    """How many times as fast products in bfloat16 are as in float32; the best of five each."""
    rows, inner, columns = _PROBED_NKM
    fastest_s = {}
    for precision in (torch.float32, torch.bfloat16):
        left = torch.ones(rows, inner, device=device, dtype=precision)
        right = torch.ones(inner, columns, device=device, dtype=precision)
        times_s = []
        for _ in range(6):
            start_s = time.perf_counter()
            float((left @ right)[0, 0])  # waits for a GPU
            times_s.append(time.perf_counter() - start_s)
        fastest_s[precision] = min(times_s[1:])
    return fastest_s[torch.float32] / fastest_s[torch.bfloat16]


@full_teams()
def multiplies_rightly(device: torch.device, precision: torch.dtype) -> bool:
    """Whether products of matrices in a number format are about those in float32.

    They are not where OpenMP may use fewer threads than PyTorch counts on (OMP_THREAD_LIMIT, or
    what `openmp` prevents): a part of a bfloat16 product is never computed, without any error.

    Args:
        device: Where to multiply.
        precision: Of the factors.
    """
    steps = torch.linspace(-1, 1, 64, device=device)
    left_hw, right_hw = steps[:, None] * steps.cos(), steps[:, None].cos() + steps
    expected_hw = left_hw @ right_hw
    product_hw = (left_hw.to(precision) @ right_hw.to(precision)).float()
    largest = expected_hw.abs().max()
    return bool(((product_hw - expected_hw).abs() <= _PRODUCT_TOLERANCE * largest).all())


def pick_precision(name: str, capability: tuple[int, int] | None) -> torch.dtype:
    """What :func:`choose_precision` decides, from the facts alone.

    Args:
        name: One of ``PRECISION_NAMES``.
        capability: CUDA compute capability (major, minor), None for a CPU.

    >>> pick_precision("auto", (9, 0)), pick_precision("auto", None)
    (torch.bfloat16, torch.float32)
    """
    if name not in PRECISION_NAMES:
        raise ParameterError(
            f"Precision '{name}' is unknown: expected one of {', '.join(PRECISION_NAMES)}. "
            "Choose auto to have the best one for the device.",
            key="precision",
            value=name,
        )
    has_bfloat16 = capability is not None and capability >= _BFLOAT16_CAPABILITY
    has_float16 = capability is not None and capability >= _FLOAT16_CAPABILITY
    if name == "auto":
        if has_bfloat16:
            return torch.bfloat16
        return torch.float16 if has_float16 else torch.float32
    if name == "bfloat16" and (has_bfloat16 or capability is None):
        return torch.bfloat16
    if name == "float16" and has_float16:
        return torch.float16
    return torch.float32
