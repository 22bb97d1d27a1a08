"""A folder of results: which files a picture's results are, whether they are there, writing them.

A run that was stopped is taken up again by the same command: a picture is done when the folder has
its mark, with this content of its file and these settings, and the files are there.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from infer_segment_anything_2.errors import ExportError, ParameterError
from infer_segment_anything_2.exports import class_names
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_batch.class_list import read_class_list, write_class_list
from infer_segment_anything_2.sam2_batch.data_set import write_data_set
from infer_segment_anything_2.sam2_batch.done_marks import (
    DoneMarks,
    Fingerprint,
    Mark,
    differences,
    digest_of,
    settings_of,
)
from infer_segment_anything_2.sam2_batch.formats import (
    FORMATS,
    ExportOptions,
    Result,
)
from infer_segment_anything_2.sam2_batch.map_places import MapPlace, map_place
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_batch.result_names import (
    CLASSES_NAME,
    DATASET_NAME,
    DONE_NAME,
    RANK_ENDINGS,
    SETTINGS_NAME,
    TakenNames,
)
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.whole_files import write_json

__all__ = ["SETTINGS_NAME", "ResultFolder"]

# Of the settings, those that only some formats depend on.
_OPTIONS = frozenset(option for kind in FORMATS.values() for option in kind.options)

_DATASET_FORMAT = "coco-dataset"


@dataclass(frozen=True)
class ResultFolder:
    """Where a run's results go.

    Attributes:
        folder: The folder.
        formats: Names of the wanted formats, from :data:`FORMATS`.
        options: Choices of single formats.
        parameters: What the results are made with.
        own_prompts: Whether pictures bring prompts of their own.
    """

    folder: Path
    formats: Sequence[str]
    options: ExportOptions
    parameters: Parameters
    own_prompts: bool = False

    def check(self) -> None:
        """Makes sure that the results that are there already are of the same settings.

        Raises:
            ParameterError: They are of others; the message tells the differences.
            ExportError: The settings of those results cannot be read.
        """
        earlier = self._remembered()
        if earlier is None:
            return
        settings = self._settings()
        # An option is no difference to results of formats that do not depend on it.
        keys = (earlier.keys() | settings.keys()) - _OPTIONS
        keys |= earlier.keys() & settings.keys()
        changes = differences(earlier, settings, keys)
        if changes:
            raise ParameterError(
                f"The folder {self.folder} holds results of other settings ({changes}); give "
                "another folder, the same settings, or --overwrite to do these pictures again."
            )

    def settle(self, pictures: Sequence[PictureFile]) -> list[PictureFile]:
        """Gives pictures the names of results that are theirs in this folder.

        A picture that is done keeps its name, also when it was moved. No other picture's results,
        none of the pictures themselves, and no file that is not of this folder's runs, have one of
        the names.

        Raises:
            ExportError: The list of what is done cannot be read or written.
        """
        self._follow_moved(pictures)
        taken = TakenNames(self._files_here(pictures))
        own_names = self._marks.result_names
        if not self._knows_nothing:
            below = {"", *(picture.result_name.rpartition("/")[0] for picture in pictures)}
            taken.take_others(self.folder, below, own_names.values())
        for name in own_names.values():
            taken.take(name)
        settled = []
        for picture in pictures:
            own = own_names.get(_source(picture))
            name = own or taken.choose(picture.name, first=picture.result_name)
            settled.append(replace(picture, result_name=name))
        return settled

    def prepare(self) -> None:
        """Makes the folder, and sees that it can be written to, before anything is computed.

        Raises:
            ExportError: It cannot.
        """
        path = self.folder / DATASET_NAME
        is_ours = self._knows_nothing or DATASET_NAME in self._marks.result_names
        if _DATASET_FORMAT in self.formats and path.exists() and not is_ours:
            raise ExportError(
                f"The data set of all pictures would overwrite {path}, expected a file of an "
                "earlier run, got one of somebody else's; move it, or choose another folder."
            )
        settings = self._settings()
        write_json(self.folder / SETTINGS_NAME, {**(self._remembered() or {}), **settings})
        if "yolo" in self.formats:
            self._compare_class_list()

    def forget(self, pictures: Iterable[PictureFile]) -> None:
        """Makes pictures count as not done, and the folder as one of these settings.

        Raises:
            ExportError: It cannot be written.
        """
        for picture in pictures:
            mark = self._marks.of(_source(picture))
            self._remove(picture, {*self.formats, *(mark.formats if mark is not None else ())})
            self._marks.drop(_source(picture))
        write_json(self.folder / SETTINGS_NAME, self._settings())

    def path_of(self, picture: PictureFile, format_name: str, rank: int = 1) -> Path:
        """Where a picture's result of a format goes."""
        return self._path(picture.result_name, format_name, rank)

    def has(self, picture: PictureFile) -> bool:
        """Whether all wanted results of a picture, as it is now, are there."""
        mark = self._marks.of(_source(picture))
        if mark is None or not self._is_of(mark, picture):
            return False
        return all(
            mark.formats.get(name) == self._options_digest(name)
            and FORMATS[name].marker(self.path_of(picture, name)).is_file()
            for name in self.formats
        )

    def check_place(self, picture: PictureFile) -> None:
        """Sees before anything is computed whether a picture that was read can go on the map.

        Raises:
            ExportError: It cannot.
        """
        self._place_of(picture)

    def write(
        self,
        picture: PictureFile,
        segmentation: Segmentation,
        content: Fingerprint | None = None,
    ) -> list[Path]:
        """Writes a picture's results, the best rank last, and then the mark that they are there.

        Args:
            picture: Which one, as :meth:`settle` gave it.
            segmentation: What came out.
            content: Of the picture's file before it was read, as it may be replaced meanwhile;
                that which is there now if None.

        Returns:
            The files and folders of the best rank.

        Raises:
            ExportError: One cannot be written; those before it are there.
        """
        if self._remembered() is None:
            self.prepare()
        place = self._place_of(picture)
        kept = self._clear(picture)
        names = self._numbered_classes(segmentation.objects)
        self._marks.begin(_source(picture), picture.result_name)
        for rank in range(len(segmentation.ranked), 0, -1):
            masks = segmentation.ranked[rank - 1]
            paths = [self.path_of(picture, name, rank) for name in self.formats]
            if rank > 1 and not len(masks):
                for name, path in zip(self.formats, paths, strict=True):
                    FORMATS[name].remove(path)  # of an earlier run with other settings
                continue
            result = Result(masks, segmentation, picture.name, self.options, names, place)
            for name, path in zip(self.formats, paths, strict=True):
                if rank == 1 or name != "report":  # one report tells of all ranks
                    FORMATS[name].write(path, result)
        self._mark_done(picture, segmentation, kept, content or Fingerprint.of(picture.path))
        return list(dict.fromkeys(paths))

    def finish(self) -> Path | None:
        """Writes what is of all pictures of the folder together, if that is wanted.

        Returns:
            The data set, None if none is wanted or there is nothing in it.

        Raises:
            ExportError: It cannot be written, or a part of it cannot be read.
        """
        if _DATASET_FORMAT not in self.formats:
            return None
        marks = [
            mark
            for mark in self._marks
            if _DATASET_FORMAT in mark.formats and mark.settings == self._settings_digest
        ]
        parts = {mark.source: self._path(mark.result_name, _DATASET_FORMAT) for mark in marks}
        marks = [mark for mark in marks if parts[mark.source].is_file()]
        if not marks:
            return None
        path = self.folder / DATASET_NAME
        self._marks.begin(DATASET_NAME, DATASET_NAME)
        write_data_set(path, marks, lambda mark: parts[mark.source], self._marks.classes)
        return path

    @cached_property
    def _marks(self) -> DoneMarks:
        return DoneMarks(self.folder / DONE_NAME)

    def _path(self, result_name: str, format_name: str, rank: int = 1) -> Path:
        return self.folder / f"{result_name}{RANK_ENDINGS[rank - 1]}{FORMATS[format_name].ending}"

    def _is_of(self, mark: Mark, picture: PictureFile) -> bool:
        """Whether a mark is of a picture's file as it is, its prompts and these settings."""
        if mark.settings != self._settings_digest or mark.prompts != _prompts_digest(picture):
            return False
        if mark.content is None:
            return Fingerprint.of(picture.path) is None
        return mark.content.fits(picture.path)

    def _clear(self, picture: PictureFile) -> dict[str, str]:
        """Removes results of the picture that are no longer true; returns the marks of the rest."""
        mark = self._marks.of(_source(picture))
        if mark is None:
            return {}
        kept = {}
        if self._is_of(mark, picture):
            kept = {name: made for name, made in mark.formats.items() if name not in self.formats}
        else:
            self._marks.drop(mark.source)
        self._remove(picture, mark.formats.keys() - kept.keys() - {*self.formats})
        return kept

    def _remove(self, picture: PictureFile, formats: Iterable[str]) -> None:
        for name in FORMATS.keys() & {*formats}:
            for rank in range(1, len(RANK_ENDINGS) + 1):
                FORMATS[name].remove(self.path_of(picture, name, rank))

    def _mark_done(
        self,
        picture: PictureFile,
        segmentation: Segmentation,
        kept: dict[str, str],
        content: Fingerprint | None,
    ) -> None:
        source = _source(picture)
        height, width = segmentation.image_rgb_hwc.shape[:2]
        self._marks.put(
            Mark(
                source=source,
                name=picture.name,
                result_name=picture.result_name,
                image_id=self._marks.image_id_of(source),
                image_hw=(height, width),
                content=content,
                settings=self._settings_digest,
                prompts=_prompts_digest(picture),
                formats={**kept, **{name: self._options_digest(name) for name in self.formats}},
            )
        )

    def _follow_moved(self, pictures: Sequence[PictureFile]) -> None:
        """Gives the mark of a picture that is gone to the same picture at another place."""
        gone = defaultdict(list)
        for mark in self._marks:
            if not os.path.lexists(mark.source):
                gone[mark.name].append(mark)
        for picture in pictures:
            source = _source(picture)
            if self._marks.of(source) is not None:
                continue
            for mark in gone[picture.name]:
                if mark.content is not None and mark.content.fits(picture.path):
                    gone[picture.name].remove(mark)
                    self._marks.put(replace(mark, source=source), instead_of=mark.source)
                    break

    def _files_here(self, pictures: Sequence[PictureFile]) -> list[str]:
        """Those pictures that lie in this folder themselves, which no result may overwrite."""
        here = os.path.abspath(self.folder) + os.sep  # noqa: PTH100 - links count as they are
        return [
            Path(source.removeprefix(here)).as_posix()
            for source in map(_source, pictures)
            if source.startswith(here)
        ]

    @cached_property
    def _knows_nothing(self) -> bool:
        """Whether the folder is of a version that did not note what it wrote."""
        return (self.folder / SETTINGS_NAME).exists() and not (self.folder / DONE_NAME).exists()

    def _place_of(self, picture: PictureFile) -> MapPlace:
        if "geojson" not in self.formats:
            return MapPlace()
        return map_place(self.options.affine, self.options.crs, picture.georeference)

    def _numbered_classes(self, objects: Sequence[ObjectPrompt] | None) -> Sequence[str]:
        """All classes of the folder, new ones at the end, so that a name keeps its number."""
        if not self._marks.classes:
            self._marks.add_classes(read_class_list(self.folder / CLASSES_NAME))
        n_before = len(self._marks.classes)
        if objects is None or objects:  # where nothing was prompted there is no class either
            self._marks.add_classes(class_names(objects))
        path = self.folder / CLASSES_NAME
        is_new = len(self._marks.classes) > n_before
        if "yolo" in self.formats and (is_new or not path.is_file()):
            write_class_list(path, self._marks.classes)
        return self._marks.classes

    def _compare_class_list(self) -> None:
        path = self.folder / CLASSES_NAME
        listed, numbered = read_class_list(path), list(self._marks.classes)
        if numbered and listed[: len(numbered)] != numbered[: len(listed)]:
            raise ExportError(
                f"The classes in {path} must be in the order of those of the results in its "
                f"folder, {numbered}, got {listed}; correct it, or choose another folder."
            )

    def _options_digest(self, format_name: str) -> str:
        used = {name: getattr(self.options, name) for name in FORMATS[format_name].options}
        return digest_of(used) if used else ""

    @cached_property
    def _settings_digest(self) -> str:
        settings = self._settings()
        return digest_of({key: settings[key] for key in settings.keys() - _OPTIONS})

    def _settings(self) -> dict[str, Any]:
        """What decides how the wanted results look, in JSON types."""
        options: dict[str, Any] = {
            "affine": list(self.options.affine or ()),
            "crs": self.options.crs,
            "opacity": self.options.opacity,
        }
        used = {option for name in self.formats for option in FORMATS[name].options}
        return {
            **settings_of(self.parameters),
            **{key: value for key, value in options.items() if key in used},
            **({"prompts": "of each picture"} if self.own_prompts else {}),
        }

    def _remembered(self) -> dict[str, Any] | None:
        """The settings of the results that are there; None where there are none."""
        path = self.folder / SETTINGS_NAME
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ExportError(
                f"The settings of earlier results in {path} cannot be read: {error}; use "
                "--overwrite to do these pictures again, or choose another folder."
            ) from error
        return settings if isinstance(settings, dict) else {}


def _source(picture: PictureFile) -> str:
    """What a picture is known by: its own place, not that of what a link leads to."""
    return os.path.abspath(picture.path)  # noqa: PTH100


def _prompts_digest(picture: PictureFile) -> str:
    return "" if picture.objects is None else digest_of(picture.objects)
