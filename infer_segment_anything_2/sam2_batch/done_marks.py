"""What is done in a folder of results: a line of JSON per picture, added when all of it is there.

The file is only ever added to, whole lines at a time, so that it is valid after a run was killed.
The last line of a picture counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.parameters import ROWS, Parameters

__all__ = ["DoneMarks", "Fingerprint", "Mark", "differences", "digest_of", "settings_of"]

_HASH_BLOCK_BYTES = 1 << 20
_DIGEST_LENGTH = 16

# These change how the work is done, not what comes out.
_WITHOUT_EFFECT = frozenset({"cuda", "points_per_batch"})


@dataclass(frozen=True)
class Fingerprint:
    """What tells a file from the one that lay there before.

    Attributes:
        size_bytes: Its size.
        changed_ns: When its content and when its entry were changed last, as the system has it.
        sha256: Of its content.
    """

    size_bytes: int
    changed_ns: tuple[int, int]
    sha256: str

    @staticmethod
    def of(path: Path) -> Fingerprint | None:
        """Reads a file through; None if it cannot be read."""
        try:
            size_bytes, changed_ns = _stamp(path)
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(_HASH_BLOCK_BYTES):
                    digest.update(block)
        except OSError:
            return None
        return Fingerprint(size_bytes, changed_ns, digest.hexdigest())

    def fits(self, path: Path) -> bool:
        """Whether a file still has this content; it is read only where its times are others."""
        try:
            size_bytes, changed_ns = _stamp(path)
        except OSError:
            return False
        if size_bytes != self.size_bytes or changed_ns == self.changed_ns:
            return size_bytes == self.size_bytes
        now = Fingerprint.of(path)
        return now is not None and now.sha256 == self.sha256


@dataclass(frozen=True)
class Mark:
    """A picture whose results are there.

    Attributes:
        source: The picture's absolute path.
        name: Its path below the folder that was named.
        result_name: What the names of its results begin with.
        image_id: Its number in a data set; no other picture of the folder has it.
        image_hw: Its height and width in pixels.
        content: Of its file; None if it could not be read again.
        settings: A digest of what all formats depend on.
        prompts: A digest of its own prompts, "" if it had none.
        formats: For each format that is there, a digest of the options that it depends on.
    """

    source: str
    name: str
    result_name: str
    image_id: int
    image_hw: tuple[int, int]
    content: Fingerprint | None
    settings: str
    prompts: str
    formats: Mapping[str, str]


@dataclass
class _Content:
    """What the lines of the file come to."""

    marks: dict[str, Mark] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    image_ids: dict[str, int] = field(default_factory=dict)
    last_image_id: int = 0
    names: dict[str, str] = field(default_factory=dict)  # of results, by the picture's source
    sources: dict[str, str] = field(default_factory=dict)  # the other way round

    def add(self, mark: Mark) -> None:
        self.marks[mark.source] = mark
        self.claim(mark.source, mark.result_name)
        self.image_ids[mark.source] = mark.image_id
        self.last_image_id = max(self.last_image_id, mark.image_id)

    def claim(self, source: str, result_name: str) -> None:
        before = self.sources.get(result_name, source)
        if before != source:  # the picture was moved
            self.names.pop(before, None)
        self.names[source] = result_name
        self.sources[result_name] = source

    def follow(self, entry: Mapping[str, Any]) -> None:
        if "done" in entry:
            self.add(_mark(entry["done"]))
        elif "begun" in entry:
            self.claim(*entry["begun"])
        elif "undone" in entry:
            self.marks.pop(entry["undone"], None)
        else:
            self.classes += [name for name in entry["classes"] if name not in self.classes]


class DoneMarks:
    """The marks of a folder, by picture, and the classes in the order of their numbers.

    Args:
        path: The file that holds them; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_whole = False

    def of(self, source: str) -> Mark | None:
        """The mark of a picture, None if it is not done."""
        return self._content.marks.get(source)

    def __iter__(self) -> Iterator[Mark]:
        """All marks, in the order in which the pictures were first done."""
        return iter(sorted(self._content.marks.values(), key=lambda mark: mark.image_id))

    @property
    def classes(self) -> Sequence[str]:
        """The names of classes; their positions are their numbers for good."""
        return tuple(self._content.classes)

    @property
    def result_names(self) -> Mapping[str, str]:
        """By source, the names under which results were written or begun to be; and the data set.

        What lies under other names is not of this folder's runs.
        """
        return self._content.names

    def begin(self, source: str, result_name: str) -> None:
        """Takes note that files of this name are about to be written.

        Args:
            source: The picture, or :data:`.DATASET_NAME` for the data set.
            result_name: What the names of its files begin with.

        Raises:
            ExportError: The file cannot be written.
        """
        if self._content.names.get(source) != result_name:
            self._append({"begun": [source, result_name]})
            self._content.claim(source, result_name)

    def image_id_of(self, source: str) -> int:
        """The number that a picture has, or once had; else one that no picture has or had."""
        ids = self._content.image_ids
        return ids.get(source, self._content.last_image_id + 1)

    def put(self, mark: Mark, *, instead_of: str = "") -> None:
        """Adds a mark, or replaces the one of the same picture.

        Args:
            mark: The new mark.
            instead_of: The source of a mark that goes: the picture was moved.

        Raises:
            ExportError: The file cannot be written.
        """
        if instead_of:
            self.drop(instead_of)
        self._append({"done": asdict(mark)})
        self._content.add(mark)

    def drop(self, source: str) -> None:
        """Makes a picture count as not done.

        Raises:
            ExportError: The file cannot be written.
        """
        if source in self._content.marks:
            self._append({"undone": source})
            del self._content.marks[source]

    def add_classes(self, names: Sequence[str]) -> None:
        """Gives numbers to those classes that have none yet.

        Raises:
            ExportError: The file cannot be written.
        """
        new = [name for name in dict.fromkeys(names) if name not in self._content.classes]
        if new:
            self._append({"classes": new})
            self._content.classes.extend(new)

    @cached_property
    def _content(self) -> _Content:
        content = _Content()
        try:
            lines = self._path.read_bytes().split(b"\n")
            # What a killed run left of a line has no line end.
            for line in filter(None, lines[:-1]):
                content.follow(json.loads(line))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ExportError(
                f"The list of what is done in {self._path} cannot be read: {error!r}; remove it to "
                "do all pictures again, or choose another folder."
            ) from error
        return content

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, separators=(",", ":")) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if not self._is_whole:
                    _cut_to_whole_lines(file)
                    self._is_whole = True
                file.write(line.encode())
        except OSError as error:
            raise ExportError(
                f"Cannot write {self._path}: {error.strerror or error}; choose a folder that can "
                "be written to and has space."
            ) from error


def digest_of(content: object) -> str:
    """A short text that differs for different JSON content."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


def differences(
    before: Mapping[str, object],
    now: Mapping[str, object],
    keys: Collection[str] | None = None,
    *,
    words: tuple[str, str] = ("was {!r}", "is {!r}"),
) -> str:
    """What differs between two groups of settings, for a sentence.

    Args:
        before: Settings by their keys.
        now: Others.
        keys: Those that are compared; all of both if None.
        words: How a setting's value before and now is told.

    Returns:
        Such as "iou_thresh was '0.8' and is '0.7', ..."; "" if nothing differs.
    """
    first, second = words
    return ", ".join(
        f"{key} {first.format(before.get(key))} and {second.format(now.get(key))}"
        for key in sorted(before.keys() | now.keys() if keys is None else keys)
        if before.get(key) != now.get(key)
    )


def _stamp(path: Path) -> tuple[int, tuple[int, int]]:
    # The time of the entry tells of a file of the same size and time that was put in its place.
    status = path.stat()
    return status.st_size, (status.st_mtime_ns, status.st_ctime_ns)


def _mark(fields: Mapping[str, Any]) -> Mark:
    content = fields["content"]
    height, width = fields["image_hw"]
    if content is not None:
        changed, entered = content["changed_ns"]
        content = Fingerprint(content["size_bytes"], (changed, entered), content["sha256"])
    return Mark(**{**fields, "image_hw": (height, width), "content": content})


def _cut_to_whole_lines(file: Any) -> None:
    """Removes the beginning of a line that a killed run may have left at the end."""
    file.seek(0)
    content = file.read()
    if content and not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)


def settings_of(parameters: Parameters) -> dict[str, str]:
    """The parameters, as texts by their keys, that masks depend on."""
    texts = parameters.to_strings()
    return {
        key: texts[key]
        for key in sorted({row.alias_of or row.key for row in ROWS} - _WITHOUT_EFFECT)
    }
