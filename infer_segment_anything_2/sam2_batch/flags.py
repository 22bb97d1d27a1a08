"""The words of the command line: its flags, made from the parameter rows, and its help."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.errors import nearest
from infer_segment_anything_2.parameters import ROWS
from infer_segment_anything_2.sam2_batch.flag_values import (
    affine,
    box,
    fraction,
    names_of,
    point,
)
from infer_segment_anything_2.sam2_batch.formats import FORMATS, ExportOptions
from infer_segment_anything_2.sam2_batch.page_command import PAGE_KEYS, add_page_flags
from infer_segment_anything_2.sam2_batch.table_flags import (
    TABLES,
    TABLES_WORDS,
    add_cluster_flags,
    add_result_flags,
    place,
)
from infer_segment_anything_2.sam2_batch.track_flags import (
    TRACK_KEYS,
    add_track_flags,
    track_formats_listed,
)
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES, ParameterRow

__all__ = ["make_parser"]

Command = Callable[[argparse.Namespace], int]

_PROGRAM = "infer-segment-anything-2"
_DESCRIPTION = "Segment pictures with Meta's Segment Anything 2."

_EPILOG = f"""\
examples:
  everything in a picture:
    {_PROGRAM} segment cat.jpg

  the same at once and without network, with the toy that comes along:
    {_PROGRAM} segment cat.jpg --model-name sam2_demo_nano

  one object by a click, better by a second click beside it (label 0 = not this):
    {_PROGRAM} segment cat.jpg --point 500,375 --point 80,90,0

  three objects by their boxes, as a picture to look at and as COCO JSON:
    {_PROGRAM} segment cat.jpg --box 10,20,200,210 --box 220,20,400,210 \\
        --box 5,300,90,390 --format overlay,coco --out results

  objects with names, each with points, a box or a mask of its own, listed in a file:
    {_PROGRAM} segment cat.jpg --input-objects @objects.json --format yolo

  a folder, more small objects, resumed by the same command when stopped:
    {_PROGRAM} segment photos --points-per-side 64 --crop-n-layers 1 --out results

  the same in the browser, by clicks and sliders:
    {_PROGRAM} page photos --out results

  an object through a video, from a box on frame 12 to both ends:
    {_PROGRAM} track clip.mp4 --box 10,20,80,90 --prompt-frame 12 --both-ways \\
        --format masklets,overlay --out results

  which weights there are, and fetching some:
    {_PROGRAM} models
    {_PROGRAM} models fetch sam2.1_hiera_large

exit codes:
  0    all pictures are done (or were before)
  1    some pictures failed, each with a line on standard error; the others are done
  2    the call is wrong: a flag, a value, a prompt, no picture of that name
  3    the weights or a package could not be had
  130  stopped by Ctrl-C; the same command goes on from there
"""

# What follows a flag and begins like a negative number, or several.
_NEGATIVE = re.compile(r"-(?:\.?\d|inf|nan)", re.IGNORECASE)


class _Parser(argparse.ArgumentParser):
    """Takes "--box -5,10,60,80" as it is typed, and knows what a misspelt flag may mean."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Parses all words; see :func:`make_parser`."""
        words = list(sys.argv[1:] if args is None else args)
        options, unknown = self.parse_known_args(_joined_negatives(words), namespace)
        if unknown:
            self.error(self._unrecognised(unknown, _flags_of(self, words)))
        return options

    @staticmethod
    def _unrecognised(unknown: Sequence[str], flags: Sequence[str]) -> str:
        message = f"unrecognized arguments: {' '.join(unknown)}"
        for word in unknown:
            if word.startswith("--"):
                similar = nearest(word.partition("=")[0].replace("_", "-").lower(), flags)
                return f"{message}; did you mean {similar}?" if similar else message
        return message


def _joined_negatives(words: Sequence[str]) -> list[str]:
    """Writes "--flag -1,2" as "--flag=-1,2", as argparse takes "-1,2" for a flag of its own."""
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        is_flag = before.startswith("--") and "=" not in before and "--" not in joined
        if is_flag and _NEGATIVE.match(word):
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


def _flags_of(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The long flags of the command among the words."""
    flags: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            command = next((word for word in words if word in action.choices), "")
            return [*flags, *_flags_of(action.choices[command], words)] if command else flags
        if action.help != argparse.SUPPRESS:
            flags += [flag for flag in action.option_strings if flag.startswith("--")]
    return flags


def make_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Makes the parser of the command line.

    Args:
        commands: What runs each command; becomes the result's ``command``. None are needed to read
            words only.

    Returns:
        A parser whose result holds, for each parameter row, the text that was given or None.
    """
    parser = _Parser(
        prog=_PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    known = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, add in {
        "segment": _add_segment,
        "track": _add_track,
        "page": _add_page,
        "results": _add_results,
        "models": _add_models,
    }.items():
        add(known).set_defaults(command=commands.get(name))
    return parser


def _add_segment(
    commands: argparse._SubParsersAction[_Parser],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "segment",
        usage="%(prog)s PICTURE [PICTURE ...] [--point X,Y] [--box X1,Y1,X2,Y2] [--format NAME] "
        "[--out FOLDER] [more flags]",
        help="segment pictures: what is prompted, or everything",
        description="Segment pictures: the prompted objects, or everything when nothing is "
        "prompted. Prompts are in pixels of the original picture, and hold for every picture.",
        epilog=f"{_formats_listed()}\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "pictures",
        nargs="*",
        metavar="PICTURE",
        help="a picture, a folder of pictures, or a pattern such as 'photos/**/*.jpg'; with "
        "--format parquet also in a bucket, such as s3://bucket/photos",
    )
    _add_file_flags(parser.add_argument_group("Files"))
    add_cluster_flags(parser.add_argument_group("Tables and clusters (docs/cluster.md)"))
    groups = {key: parser.add_argument_group(title) for key, title in GROUP_TITLES.items()}
    _add_prompt_flags(groups["prompts"])
    groups["prompts"].add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="what is prompted in each picture: a detector's COCO JSON (images, annotations with "
        "bbox), or a CSV table with the columns path, x1, y1, x2, y2 and, if wanted, category",
    )
    for row in ROWS:
        _add_row(groups[row.group], row)
    return parser


def _add_track(commands: argparse._SubParsersAction[_Parser]) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "track",
        usage="%(prog)s VIDEO [--point X,Y] [--box X1,Y1,X2,Y2] [--prompt-frame N] "
        "[--format NAME] [--out FOLDER] [more flags]",
        help="track objects through a video",
        description="Track what is prompted on one frame of a video through all others. Prompts "
        "are in pixels of the frame as it is shown.",
        epilog=f"{track_formats_listed()}\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_track_flags(parser)
    groups = {
        row.group: parser.add_argument_group(GROUP_TITLES[row.group])
        for row in ROWS
        if row.key in TRACK_KEYS
    }
    _add_prompt_flags(groups["prompts"])
    for row in ROWS:
        if row.key in TRACK_KEYS:
            _add_row(groups[row.group], row)
    groups["prompts"].add_argument(
        "--objects", dest="input_objects", metavar="TEXT|@FILE", help="short for --input-objects"
    )
    return parser


def _formats_listed() -> str:
    lines = [f"  {name + ':':<15}{kind.words}\n" for name, kind in FORMATS.items()]
    lines.append(f"  {TABLES + ':':<15}{TABLES_WORDS}; see docs/cluster.md\n")
    return "formats:\n" + "".join(lines)


def _add_prompt_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--point",
        action="append",
        default=[],
        type=point,
        metavar="X,Y[,LABEL]",
        help="a point on the object, or with label 0 beside it; again for more points of it. With "
        "several boxes, a point belongs to the smallest box around it",
    )
    group.add_argument(
        "--box",
        action="append",
        default=[],
        type=box,
        metavar="X1,Y1,X2,Y2",
        help="a box around an object; again for more objects",
    )


def _add_file_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        action="append",
        type=names_of((*FORMATS, TABLES)),
        metavar="NAME[,NAME...]",
        help="what to write, one or several of the formats below (default coco)",
    )
    group.add_argument(
        "--out",
        type=place,
        default=Path("sam2_results"),
        metavar="FOLDER",
        help="folder for it (default %(default)s)",
    )
    group.add_argument(
        "-r", "--recursive", action="store_true", help="search folders in folders too"
    )
    group.add_argument(
        "--overwrite", action="store_true", help="do again what is done, with these settings"
    )
    group.add_argument(
        "--affine",
        type=affine,
        metavar="A,B,C,D,E,F",
        help="for geojson: x = A*column + B*row + C and y = D*column + E*row + F, as rasterio's "
        "transform",
    )
    group.add_argument(
        "--crs",
        default="",
        help="for geojson: the map's reference system, such as EPSG:32631; goes with --affine, or "
        "names that of GeoTIFFs which do not",
    )
    group.add_argument(
        "--opacity",
        type=fraction,
        default=ExportOptions.opacity,
        help="for overlay: 0 = only outlines, 1 = masks hide the picture (default %(default)s)",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but what failed")
    _add_verbose(group)


def _add_verbose(group: argparse._ActionsContainer) -> None:
    group.add_argument("-v", "--verbose", action="store_true", help="tell more of what is done")


def _add_row(group: argparse._ArgumentGroup, row: ParameterRow) -> None:
    """Adds the flag of a parameter; its value stays text, which the row itself reads."""
    flag = "--" + row.key.replace("_", "-")
    if row.kind == "bool":
        words = _percent_kept(f"{row.help} (default {'on' if row.default else 'off'})")
        group.add_argument(
            flag, dest=row.key, action=argparse.BooleanOptionalAction, default=None, help=words
        )
        return
    facts = f"default {row.default!r}" if row.default != "" else f"such as {row.example}"
    if row.kind in ("int", "float"):
        facts = f"{row.expected}, {facts}"
    elif row.kind == "choice":
        facts = f"{', '.join(row.choices)}; {facts}"
    words = argparse.SUPPRESS if row.alias_of else _percent_kept(f"{row.help} ({facts})")
    metavar = {"int": "N", "float": "X", "choice": "NAME", "text": "TEXT|@FILE"}[row.kind]
    group.add_argument(flag, dest=row.key, metavar=metavar, help=words)


def _percent_kept(words: str) -> str:
    return words.replace("%", "%%")


def _add_models(
    commands: argparse._SubParsersAction[_Parser],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "models",
        help="list, fetch and check the weights",
        description="List the weights; fetch some, to be ready without network; compare those that "
        "are here with the official SHA-256. The folder is torch hub's, or that of the environment "
        "variable SAM2_CHECKPOINT_DIR.",
        epilog=f"examples:\n  {_PROGRAM} models\n  {_PROGRAM} models fetch sam2.1_hiera_tiny\n"
        f"  {_PROGRAM} models check",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("action", nargs="?", choices=("list", "fetch", "check"), default="list")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="which (check: all that are here, if none is named)",
    )
    _add_verbose(parser)
    return parser


def _add_page(commands: argparse._SubParsersAction[_Parser]) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "page",
        usage="%(prog)s PICTURE|VIDEO [...] [--out FOLDER] [more flags]",
        help="point and tune in the browser, and take the parameters along",
        description="Open pictures and videos in the browser: click on objects, draw boxes, move "
        "thresholds, follow objects from frame to frame, and copy what gives the same masks in "
        "Ikomia or on the command line. Only this machine can reach the page.",
        epilog=f"examples:\n  {_PROGRAM} page cat.jpg\n  {_PROGRAM} page clip.mp4\n"
        f"  {_PROGRAM} page photos --model-name sam2_demo_nano --out results",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_page_flags(parser)
    groups = {
        row.group: parser.add_argument_group(GROUP_TITLES[row.group])
        for row in ROWS
        if row.key in PAGE_KEYS
    }
    for row in ROWS:
        if row.key in PAGE_KEYS:
            _add_row(groups[row.group], row)
    _add_verbose(parser)
    return parser


def _add_results(
    commands: argparse._SubParsersAction[_Parser],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "results",
        help="check, list and convert the tables of segment --format parquet",
        description="Read the tables that segment --format parquet or --on ray has written.",
        epilog=f"examples:\n  {_PROGRAM} results run1\n  {_PROGRAM} results run1 --errors\n"
        f"  {_PROGRAM} results run1 --coco run1.json\n"
        f"  {_PROGRAM} results run1 --expand coco,overlay --to files --only '*/cat*.jpg'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_result_flags(parser)
    _add_verbose(parser)
    return parser
