"""The flags of tables and clusters, and the command ``results``."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infer_segment_anything_2.sam2_batch.flag_values import folder

__all__ = [
    "FLAGS_OF_RAY",
    "FLAGS_OF_TABLES",
    "TABLES",
    "TABLES_WORDS",
    "add_cluster_flags",
    "add_result_flags",
    "place",
]

TABLES = "parquet"
"""The format of two tables for all pictures together."""

TABLES_WORDS = "two tables, of all pictures and of all masks, for many of them"

# With their defaults, by which one sees that they are not given.
FLAGS_OF_TABLES: Mapping[str, Any] = MappingProxyType(
    {
        "list": None,
        "only_shards": None,
        "plan_only": False,
        "retry_failed": False,
        "shard_size": 1000,
        "max_failed": 0.5,
    }
)
FLAGS_OF_RAY: Mapping[str, Any] = MappingProxyType(
    {"ray_address": "", "workers": None, "cpus_per_worker": 1, "gpus_per_worker": None}
)

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def place(text: str) -> Path | str:
    """A path of this machine, or a URL as it stands."""
    return text if _URL.match(text) else folder(text)


def add_cluster_flags(group: argparse._ArgumentGroup) -> None:
    """Adds what ``segment`` knows of tables and clusters."""
    defaults = {**FLAGS_OF_TABLES, **FLAGS_OF_RAY}
    group.add_argument(
        "--on",
        choices=("here", "ray"),
        default="here",
        help="where the work is done; ray implies --format parquet (default %(default)s)",
    )
    group.add_argument(
        "--list",
        type=place,
        metavar="FILE",
        help="instead of pictures: a Parquet table with the column path and, if wanted, "
        "input_objects, what is prompted in each",
    )
    group.add_argument(
        "--shard-size",
        type=_count,
        default=defaults["shard_size"],
        metavar="N",
        help="pictures per shard, the part of a run that one worker does at a time (default "
        "%(default)s)",
    )
    group.add_argument(
        "--only-shards",
        type=_shards,
        metavar="A-B[,C...]",
        help="do these shards only, as one of several jobs, each with its own",
    )
    group.add_argument(
        "--plan-only", action="store_true", help="list the pictures into shards, and do none"
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="do the pictures again that failed before"
    )
    group.add_argument(
        "--max-failed",
        type=_share,
        default=defaults["max_failed"],
        metavar="SHARE",
        help="stop when more of at least 1000 pictures fail, such as 5%% (default 50%%)",
    )
    group.add_argument(
        "--ray-address",
        default=defaults["ray_address"],
        metavar="auto|local|HOST:PORT",
        help="local: a Ray of this machine alone; auto: the cluster that this machine is part of "
        "(default local, in a Ray job auto)",
    )
    group.add_argument(
        "--workers",
        type=_workers,
        metavar="N|MIN:MAX",
        help="how many processes work (default as many as there is room for)",
    )
    group.add_argument(
        "--cpus-per-worker",
        type=_count,
        default=defaults["cpus_per_worker"],
        metavar="N",
        help="CPUs that each worker books, and its threads (default %(default)s)",
    )
    group.add_argument(
        "--gpus-per-worker",
        type=_gpus,
        metavar="X",
        help="GPUs that each worker books, or 1/n of one (default 1 where the cluster has some)",
    )


def add_result_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``results``."""
    parser.add_argument("out", metavar="OUT", help="the folder or the address of the run")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="count, and compare (the default)")
    what.add_argument(
        "--errors", action="store_true", help="list what failed: path, kind and sentence"
    )
    what.add_argument(
        "--coco", type=Path, metavar="FILE", help="write one COCO data set of all pictures"
    )
    what.add_argument(
        "--expand",
        metavar="FORMAT[,...]",
        help="write files of single pictures, as segment would have",
    )
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="for --expand: where they go")
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        default="*",
        help="for --expand: those pictures only whose path fits, such as '*/cat*.jpg'",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _shards(text: str) -> list[range]:
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (match[1], match[2] or match[1]) if match else ("0", "-1")
        if int(last) < int(first):
            raise argparse.ArgumentTypeError(f"expected shards such as 0-99 or 3,7, got {text!r}")
        ranges.append(range(int(first), int(last) + 1))
    return ranges


def _workers(text: str) -> tuple[int, int]:
    fewest, _, most = text.partition(":")
    try:
        numbers = int(fewest), int(most or fewest)
    except ValueError:
        numbers = 0, 0
    if not 1 <= numbers[0] <= numbers[1]:
        raise argparse.ArgumentTypeError(f"expected workers such as 4 or 2:64, got {text!r}")
    return numbers


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share such as 5% or 0.05, got {text!r}")
    return share


def _gpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    is_part = 0 < number < 1 and math.isclose(1 / number, round(1 / number), rel_tol=1e-3)
    if not is_part and not (number >= 0 and number == math.floor(number)):
        raise argparse.ArgumentTypeError(
            f"expected a whole number of GPUs or 1/n of one, such as 0.5, got {text!r}"
        )
    return number
