"""What was prompted and tuned in each picture, in one file, so that work on a folder can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.sam2_results.whole_files import write_json

__all__ = ["FILE_NAME", "Remembered"]

FILE_NAME = "page.json"


class Remembered:
    """One JSON file: by the picture's name what the page holds of it.

    Args:
        folder: Where the file lies, or will; made with the first picture that is remembered.

    Raises:
        ParameterError: There is such a file, and it is not one of ours.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = Lock()
        self._pictures: dict[str, Any] = {}
        if self._path.exists():
            self._pictures = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            pictures = json.loads(self._path.read_text(encoding="utf-8"))["pictures"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ParameterError(
                f"{self._path} is not what the page remembers pictures by "
                f"({type(error).__name__}); move it away, or give another --out.",
                key="out",
            ) from error
        return dict(pictures)

    def of(self, name: str) -> Mapping[str, Any]:
        """What is remembered of a picture; nothing where it is new."""
        known: Mapping[str, Any] = self._pictures.get(name, {})
        return known

    def keep(self, name: str, content: Mapping[str, Any]) -> None:
        """Remembers a picture, on the disk at once.

        Raises:
            ExportError: The file cannot be written.
        """
        with self._lock:
            self._pictures[name] = dict(content)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {"pictures": self._pictures})
