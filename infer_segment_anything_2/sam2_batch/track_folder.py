"""A folder of tracked videos: the names of results, and which videos are done.

A video is done as a whole: when the folder has its mark, with this content and these settings, and
the files are there. A video that was stopped is tracked anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.sam2_batch.done_marks import DoneMarks, Mark, digest_of
from infer_segment_anything_2.sam2_batch.track_formats import TRACK_FORMATS
from infer_segment_anything_2.sam2_batch.video_finding import FoundVideo

__all__ = ["TRACKED_NAME", "TrackFolder"]

TRACKED_NAME = "sam2_tracked.jsonl"


@dataclass(frozen=True)
class TrackFolder:
    """Where the results of videos go.

    Attributes:
        folder: The folder.
        formats: Names of the wanted formats, from :data:`TRACK_FORMATS`.
        settings: All that decides how results look, in JSON types.
        opacity: Which decides about the overlay alone.
    """

    folder: Path
    formats: Sequence[str]
    settings: Mapping[str, object]
    opacity: float

    def has(self, found: FoundVideo) -> bool:
        """Whether all wanted results of a video, as it is now, are there.

        Raises:
            ParameterError: Results of other settings are.
            ExportError: The list of what is done cannot be read.
        """
        mark = self._marks.of(found.source) if found.source else None
        if mark is None or not self._is_of(mark, found):
            return False
        if mark.settings != self._settings_digest:
            raise ParameterError(
                f"The folder {self.folder} holds results of {found.video.name} with other prompts "
                "or settings; give another folder, the same flags, or --overwrite to track it "
                "again."
            )
        return all(
            mark.formats.get(name) == self._format_digest(name) and path.exists()
            for name, path in self.paths_of(found).items()
        )

    def paths_of(self, found: FoundVideo) -> dict[str, Path]:
        """Where each wanted result of a video goes; no other video of the folder has that name."""
        name = self.name_of(found)
        return {kind: self.folder / f"{name}{TRACK_FORMATS[kind].ending}" for kind in self.formats}

    def name_of(self, found: FoundVideo) -> str:
        """What the names of a video's results begin with."""
        own = self._marks.of(found.source) if found.source else None
        if own is not None:
            return own.result_name
        taken = {mark.result_name.casefold() for mark in self._marks}
        names = itertools.chain([found.name], (f"{found.name}_{k}" for k in itertools.count(2)))
        return next(name for name in names if name.casefold() not in taken)

    def begin(self, found: FoundVideo) -> None:
        """Makes the wanted results of a video count as not done, as they are about to change.

        Results in other formats stay where they are of this content and these settings; else they
        are removed.

        Raises:
            ExportError: The list cannot be written, or a file cannot be removed.
        """
        mark = self._marks.of(found.source) if found.source else None
        kept: dict[str, str] = {}
        if mark is not None:
            others = {kind: made for kind, made in mark.formats.items() if kind not in self.formats}
            if self._is_of(mark, found) and mark.settings == self._settings_digest:
                kept = others
            else:
                for kind in others.keys() & TRACK_FORMATS.keys():
                    TRACK_FORMATS[kind].remove(self._path(mark.result_name, kind))
        if found.source:
            self._marks.put(self._mark(found, self.name_of(found), (0, 0), kept))

    def finish(self, found: FoundVideo, image_hw: tuple[int, int]) -> None:
        """Marks a video as done, after :meth:`begin`.

        Raises:
            ExportError: The list cannot be written.
        """
        mark = self._marks.of(found.source) if found.source else None
        if mark is not None:
            formats = {name: self._format_digest(name) for name in self.formats}
            everything = {**mark.formats, **formats}
            self._marks.put(self._mark(found, mark.result_name, image_hw, everything))

    def _path(self, result_name: str, kind: str) -> Path:
        return self.folder / f"{result_name}{TRACK_FORMATS[kind].ending}"

    def _mark(
        self, found: FoundVideo, name: str, image_hw: tuple[int, int], formats: dict[str, str]
    ) -> Mark:
        return Mark(
            source=found.source,
            name=found.name,
            result_name=name,
            image_id=self._marks.image_id_of(found.source),
            image_hw=image_hw,
            content=found.content,
            settings=self._settings_digest if formats else "",
            prompts=found.frames_digest,
            formats=formats,
        )

    def _is_of(self, mark: Mark, found: FoundVideo) -> bool:
        """Whether a mark is of a finished run over this content."""
        if not mark.formats or mark.prompts != found.frames_digest:
            return False
        if mark.content is None or found.content is None:
            return mark.content is found.content
        return mark.content.sha256 == found.content.sha256

    @cached_property
    def _marks(self) -> DoneMarks:
        return DoneMarks(self.folder / TRACKED_NAME)

    @cached_property
    def _settings_digest(self) -> str:
        return digest_of(dict(self.settings))

    def _format_digest(self, name: str) -> str:
        return digest_of(self.opacity) if name == "overlay" else ""
