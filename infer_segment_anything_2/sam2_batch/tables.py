"""The door to :mod:`.cluster`, whose packages are imported only when tables are asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from infer_segment_anything_2.errors import DependencyError, ParameterError, first_line
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_batch.table_flags import FLAGS_OF_RAY, FLAGS_OF_TABLES, TABLES

__all__ = ["run_results", "run_tables", "wants_tables"]


def wants_tables(options: argparse.Namespace) -> bool:
    """Whether ``segment`` is to write tables instead of files.

    Raises:
        ParameterError: Flags do not go together.
    """
    formats = {name for names in options.format or [] for name in names}
    is_wanted = options.on == "ray" or TABLES in formats
    _refuse_others(options, formats, is_wanted=is_wanted)
    if bool(options.pictures) == (options.list is not None):
        raise ParameterError(
            "Name the pictures: files, folders or patterns, or with --format parquet a --list of "
            "them, and not both."
        )
    return is_wanted


def _refuse_others(options: argparse.Namespace, formats: set[str], *, is_wanted: bool) -> None:
    if is_wanted and formats - {TABLES}:
        others = ",".join(sorted(formats - {TABLES}))
        raise ParameterError(
            f"Tables (--format {TABLES}, --on ray) stand alone, got --format {others} too; make "
            f"these from the tables afterwards: results OUT --expand {others} --to FOLDER"
        )
    if is_wanted and options.overwrite:
        raise ParameterError(
            "--overwrite is for files of single pictures, got it with tables; give another place "
            "for the results, or --retry-failed for what failed."
        )
    for flags, is_usable, of in (
        (FLAGS_OF_TABLES, is_wanted, f"--format {TABLES} or --on ray"),
        (FLAGS_OF_RAY, options.on == "ray", "--on ray"),
    ):
        for key, default in flags.items():
            if not is_usable and getattr(options, key) != default:
                flag = "--" + key.replace("_", "-")
                raise ParameterError(f"{flag} goes with {of}; give that too, or leave it out.")
    if not is_wanted and not isinstance(options.out, Path):
        raise ParameterError(
            f"Files of single pictures go to a folder of this machine, got --out {options.out}; "
            f"give a folder, or --format {TABLES}."
        )


def run_tables(
    options: argparse.Namespace,
    parameters: Parameters,
    prompted: Callable[[Sequence[PictureFile], Path, Parameters], list[PictureFile]],
) -> int:
    """Runs ``segment`` with tables as its result; see :func:`.table_run.run_tables`.

    Raises:
        DependencyError: A package for tables is missing.
    """
    try:
        from infer_segment_anything_2.sam2_batch.cluster.table_run import run_tables as run
    except ImportError as error:
        raise _missing(error) from error
    return run(options, parameters, prompted)


def run_results(options: argparse.Namespace) -> int:
    """Runs ``results``; see :func:`.results.run_results`.

    Raises:
        DependencyError: A package for tables is missing.
    """
    try:
        from infer_segment_anything_2.sam2_batch.cluster.results import run_results as run
    except ImportError as error:
        raise _missing(error) from error
    return run(options)


def _missing(error: ImportError) -> DependencyError:
    return DependencyError(
        f"Tables need a package that does not load ({first_line(error)}); run: "
        'pip install "pyarrow>=17" fsspec (for --on ray also "ray[data]>=2.60")'
    )
