"""How the threads of a product wait for each other.

Threads of OpenMP spin while they wait, for up to milliseconds. Where other programs want the same
processors, one spins for the time slices of those that have work: a click took ten times longer on
two busy cores. OpenMP reads once, when it is loaded, how long it is to spin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["short_spinning"]

# Turns of libgomp's loop, a few microseconds, before a thread sleeps. 0 would cost a click on an
# idle machine twice its time, as it waits some hundred times.
_SPINS = "1000"
_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@contextmanager
def short_spinning() -> Iterator[None]:
    """Lets the threads of a torch that is imported within sleep soon while they wait.

    A choice that the user made in the environment stands, and so does that of a torch which is
    there already. The environment is left as it was: child processes are not concerned.
    """
    if "torch" in sys.modules or any(name in os.environ for name in _CHOICES):
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = _SPINS
    try:
        yield
    finally:
        os.environ.pop("GOMP_SPINCOUNT", None)
