"""A folder of results: which files a picture's results are, whether they are there, writing them.

A run that was stopped is taken up again by the same command: a picture whose files are all there
is done. For that to be true of the settings too, the folder remembers them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer_segment_anything_2.errors import ExportError, ParameterError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_batch.formats import (
    FORMATS,
    ExportOptions,
    Result,
)
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.whole_files import remove_file, write_json

__all__ = ["SETTINGS_NAME", "ResultFolder"]

SETTINGS_NAME = "sam2_settings.json"

# These change how the work is done, not what comes out.
_WITHOUT_EFFECT = frozenset({"cuda", "points_per_batch"})


@dataclass(frozen=True)
class ResultFolder:
    """Where a run's results go.

    Attributes:
        folder: The folder.
        formats: Names of the wanted formats, from :data:`FORMATS`.
        options: Choices of single formats.
        parameters: What the results are made with.
    """

    folder: Path
    formats: Sequence[str]
    options: ExportOptions
    parameters: Parameters

    def check(self) -> None:
        """Makes sure that results which are there already are of the same settings.

        Raises:
            ParameterError: They are of others; the message tells the differences.
            ExportError: The settings of those results cannot be read.
        """
        earlier, settings = self._remembered(), self._settings()
        if earlier is not None and earlier != settings:
            changes = ", ".join(
                f"{key} was {earlier.get(key)!r} and is {settings.get(key)!r}"
                for key in sorted(earlier.keys() | settings.keys())
                if earlier.get(key) != settings.get(key)
            )
            raise ParameterError(
                f"The folder {self.folder} holds results of other settings ({changes}); give "
                "another folder, the same settings, or --overwrite to do these pictures again."
            )

    def forget(self, pictures: Iterable[PictureFile]) -> None:
        """Makes pictures count as not done, and the folder as one of these settings.

        Raises:
            ExportError: It cannot be written.
        """
        for picture in pictures:
            for name in self.formats:
                remove_file(FORMATS[name].marker(self.path_of(picture, name)))
        write_json(self.folder / SETTINGS_NAME, self._settings())

    def path_of(self, picture: PictureFile, format_name: str, rank: int = 1) -> Path:
        """Where a picture's result of a format goes."""
        ranked = "" if rank == 1 else f"_rank{rank}"
        return self.folder / f"{picture.result_name}{ranked}{FORMATS[format_name].ending}"

    def has(self, picture: PictureFile) -> bool:
        """Whether all wanted results of a picture are there."""
        return all(
            FORMATS[name].marker(self.path_of(picture, name)).is_file() for name in self.formats
        )

    def write(self, picture: PictureFile, segmentation: Segmentation) -> list[Path]:
        """Writes a picture's results, the best rank last, because :meth:`has` looks for that.

        Returns:
            The files and folders of the best rank.

        Raises:
            ExportError: One cannot be written; those before it are there.
        """
        if self._remembered() is None:
            write_json(self.folder / SETTINGS_NAME, self._settings())
        for rank in range(len(segmentation.ranked), 0, -1):
            masks = segmentation.ranked[rank - 1]
            if rank > 1 and not len(masks):
                continue
            result = Result(masks, segmentation, picture.name, self.options)
            paths = [self.path_of(picture, name, rank) for name in self.formats]
            for name, path in zip(self.formats, paths, strict=True):
                if rank == 1 or name != "report":  # one report tells of all ranks
                    FORMATS[name].write(path, result)
        return paths

    def _settings(self) -> dict[str, Any]:
        """What decides how results look, in JSON types."""
        names = {row.alias_of or row.key for row in ROWS} - _WITHOUT_EFFECT
        texts = self.parameters.to_strings()
        return {
            **{key: texts[key] for key in sorted(names)},
            "affine": list(self.options.affine or ()),
            "crs": self.options.crs,
            "opacity": self.options.opacity,
        }

    def _remembered(self) -> dict[str, Any] | None:
        """The settings of the results that are there; None where there are none."""
        path = self.folder / SETTINGS_NAME
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ExportError(
                f"The settings of earlier results in {path} cannot be read: {error}; use "
                "--overwrite to do these pictures again, or choose another folder."
            ) from error
        return settings if isinstance(settings, dict) else {}
