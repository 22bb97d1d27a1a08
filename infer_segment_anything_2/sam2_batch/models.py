"""The command ``models``: which weights there are, fetching them, checking them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from infer_segment_anything_2.errors import CheckpointError, ParameterError
from infer_segment_anything_2.sam2_batch.exit_codes import EXIT_DONE, EXIT_NO_NETWORK, complain
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    CHECKPOINT_NAMES,
    CHECKPOINTS,
    Checkpoint,
    get_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.finding import (
    checkpoint_folders,
    find_weights,
    locate_checkpoint,
)

__all__ = ["run_models"]


def run_models(options: argparse.Namespace) -> int:
    """Runs ``models``: lists, fetches or checks weights; returns the exit code."""
    rows = [get_checkpoint(name) for name in options.names]
    if options.action == "fetch":
        if not rows:
            raise ParameterError(f"Name what to fetch: {', '.join(CHECKPOINT_NAMES)}.")
        for row in rows:
            print(f"{row.name}: {find_weights(row.name).path}")
        return EXIT_DONE
    if options.action == "check":
        return _check(rows)
    for row in rows or CHECKPOINTS.values():
        print(f"{row.name:<24}{row.size_bytes / 1e6:>7.1f} MB  {_whereabouts(row)}")
        print(f"    {row.advice}")
    return EXIT_DONE


def _check(rows: Sequence[Checkpoint]) -> int:
    """Compares weights with their hashes, all before it tells by its code that one is not right."""
    exit_code = EXIT_DONE
    for row in rows or CHECKPOINTS.values():
        try:
            path = locate_checkpoint(row)
        except CheckpointError as error:
            exit_code = complain(error, EXIT_NO_NETWORK)
            continue
        if path is not None:
            print(f"{row.name}: unharmed, {path}")
        elif rows:
            exit_code = EXIT_NO_NETWORK
            print(f"{row.name}: not here")
    return exit_code


def _whereabouts(row: Checkpoint) -> str:
    """Where weights lie, by the look of it; nothing is read."""
    if row.is_bundled:
        return "comes with the plugin"
    for folder in checkpoint_folders():
        if (folder / row.file_name).is_file():
            return f"here, {folder / row.file_name}"
    return "not here, fetched when first used"
