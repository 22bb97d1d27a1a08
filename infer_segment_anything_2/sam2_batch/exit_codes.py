"""What the command line's exit codes mean; its help text tells the same."""

from __future__ import annotations

import sys

__all__ = [
    "EXIT_DONE",
    "EXIT_INTERRUPTED",
    "EXIT_NO_NETWORK",
    "EXIT_SOME_FAILED",
    "EXIT_WRONG_CALL",
    "complain",
]

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_WRONG_CALL = 2
EXIT_NO_NETWORK = 3
EXIT_INTERRUPTED = 130


def complain(error: Exception, exit_code: int) -> int:
    """Says on standard error what went wrong, and gives the code to leave with."""
    sys.stderr.write(f"error: {error}\n")
    return exit_code
