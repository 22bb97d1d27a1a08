"""``data.yaml``: which number of a class in YOLO's labels is which name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from yaml import YAMLError, safe_load

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_results.whole_files import write_text

__all__ = ["read_class_list", "write_class_list"]

_HEAD = """\
# The classes of the labels in this folder. To train on them, add "path", "train" and "val";
# what stands outside of "nc" and "names" is kept.
"""
# The two keys that are ours, each with what belongs to it.
_OURS = re.compile(r"^(?:nc|names)[ \t]*:.*\n?(?:(?:[ \t\-\]}#].*)?\n)*", re.MULTILINE)


def read_class_list(path: Path) -> list[str]:
    """The names in the order of their numbers; none where there is no such file.

    Raises:
        ExportError: It is there, and has no names that can be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    try:
        content = safe_load(text) or {}
    except YAMLError as error:
        raise _unreadable(path, str(error).partition("\n")[0]) from error
    names = content.get("names") or [] if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise _unreadable(path, "no list of names with the numbers 0, 1, ...")
    return [str(name) for name in names]


def write_class_list(path: Path, names: Sequence[str]) -> None:
    """Writes the names; what else stands in the file is kept.

    Raises:
        ExportError: It cannot be written.
    """
    try:
        before = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        before = _HEAD
    kept = _OURS.sub("", before)
    # JSON's texts are YAML's too, whatever is in them.
    lines = [f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(names)]
    if kept and not kept.endswith("\n"):
        kept += "\n"
    write_text(path, f"{kept}nc: {len(names)}\nnames:\n{''.join(lines)}")


def _unreadable(path: Path, reason: str) -> ExportError:
    return ExportError(
        f"The classes in {path} cannot be read, expected names with their numbers, got: {reason}; "
        "correct it, remove it, or choose another folder for the results."
    )
