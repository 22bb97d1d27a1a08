"""Keeps OpenMP from giving PyTorch fewer threads than it asks for.

OpenMP has a dynamic mode: on a busy machine a parallel region gets fewer threads than it was meant
for. PyTorch's libraries divide their work among the threads they asked for; the share of a missing
one is never computed (bfloat16 products by oneDNN: rows of noise or NaN, without any error;
factorisations by MKL: pivots out of range), or waited for, for ever (backward passes). `import
ikomia.core` (0.16.1) switches the mode on for the thread that imports it, which is the one that
runs workflows; the variable OMP_DYNAMIC does it for all threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["full_teams"]


@contextmanager
def full_teams() -> Iterator[None]:
    """Switch OpenMP's dynamic mode off for the calling thread, and on again afterwards if it was.

    Does nothing where PyTorch's OpenMP is not to be found by name in the process (Windows, whose
    Ikomia and PyTorch have one each). Also a decorator.
    """
    openmp = _loaded_openmp()
    was_dynamic = openmp is not None and bool(openmp.omp_get_dynamic())
    if was_dynamic:
        openmp.omp_set_dynamic(0)
    try:
        yield
    finally:
        if was_dynamic:
            openmp.omp_set_dynamic(1)


def _loaded_openmp() -> Any:
    """The OpenMP that libraries loaded from now on would be given; None if there is none."""
    try:
        process = ctypes.CDLL(None)
        return process if hasattr(process, "omp_get_dynamic") else None
    except (OSError, TypeError):  # Windows looks up names in one library at a time
        return None
