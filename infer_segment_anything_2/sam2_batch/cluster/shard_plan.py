"""The plan of a run: which picture belongs to which shard, decided once and never again.

A picture's shard follows from a hash of its path, so that shards are alike whatever the order of
the pictures, and slow folders are spread over all of them. The plan lies in ``plan/0000.parquet``
and further parts, a row group per shard. Pictures that come later get shards of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infer_segment_anything_2.errors import ExportError, ParameterError
from infer_segment_anything_2.sam2_batch.cluster.folders import Folder, is_url
from infer_segment_anything_2.sam2_batch.cluster.sources import SourcePicture

__all__ = ["Plan", "Shard", "read_picture_list"]

_FOLDER = "plan"
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("name", pa.string()),
        ("version", pa.string()),
        ("objects", pa.string()),
    ]
)
# A part's own table of contents has a line per shard: a worker reads it once.
_SHARDS_PER_PART = 1000


@dataclass(frozen=True)
class Shard:
    """A part of a run that one worker does at a time.

    Attributes:
        number: Its number, which its files are called after.
        part: Of the plan.
        row_group: In that part.
        n_pictures: How many pictures it has.
    """

    number: int
    part: int
    row_group: int
    n_pictures: int

    @property
    def file_name(self) -> str:
        """What its two files are called, each in its own folder."""
        return f"{self.number:06d}.parquet"


class Plan:
    """The plan in a run's folder.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._opened: tuple[int, pq.ParquetFile] | None = None

    def shards(self) -> list[Shard]:
        """All shards, in the order of their numbers.

        Raises:
            ExportError: A part of the plan cannot be read.
        """
        shards = []
        for part in self._parts():
            file = self._open(part)
            numbers = json.loads(file.schema_arrow.metadata[b"shards"])
            for row_group, number in enumerate(numbers):
                n_pictures = file.metadata.row_group(row_group).num_rows
                shards.append(Shard(number, part, row_group, n_pictures))
        return shards

    def pictures_of(self, shard: Shard) -> list[SourcePicture]:
        """The pictures of a shard, in the order of their paths.

        Raises:
            ExportError: That part of the plan cannot be read.
        """
        # Not in Arrow's threads: see shard_tables.read_rows.
        table = self._open(shard.part).read_row_group(shard.row_group, use_threads=False)
        return [SourcePicture(**row) for row in table.to_pylist()]

    def pictures(self) -> Iterator[SourcePicture]:
        """All pictures, shard by shard."""
        for shard in self.shards():
            yield from self.pictures_of(shard)

    def add(self, pictures: Sequence[SourcePicture], shard_size: int) -> None:
        """Plans pictures that are not in the plan yet.

        Args:
            pictures: Each path once.
            shard_size: About how many of them make a shard.

        Raises:
            ExportError: The plan cannot be written.
        """
        if not pictures:
            return
        parts = self._parts()
        earlier = self.shards()
        first_number = earlier[-1].number + 1 if earlier else 0
        n_shards = -(-len(pictures) // shard_size)
        members: dict[int, list[SourcePicture]] = defaultdict(list)
        for picture in pictures:
            members[_hash_of(picture.path) % n_shards].append(picture)
        full = [sorted(members[key], key=lambda picture: picture.path) for key in sorted(members)]
        next_part = parts[-1] + 1 if parts else 0
        for offset in range(0, len(full), _SHARDS_PER_PART):
            self._write(
                next_part + offset // _SHARDS_PER_PART,
                first_number + offset,
                full[offset : offset + _SHARDS_PER_PART],
            )

    def _parts(self) -> list[int]:
        return sorted(int(name.removesuffix(".parquet")) for name in self._folder.names(_FOLDER))

    def _open(self, part: int) -> pq.ParquetFile:
        if self._opened is None or self._opened[0] != part:
            name = _name_of(part)
            content = self._folder.read(name)
            try:
                file = pq.ParquetFile(pa.BufferReader(content or b""))
            except (pa.ArrowException, OSError) as error:
                raise ExportError(
                    f"{self._folder.place}/{name} must be a part of the plan of this run, got a "
                    f"file that cannot be read: {error}; choose another folder for the results."
                ) from error
            self._opened = part, file
        return self._opened[1]

    def _write(self, part: int, first_number: int, shards: Sequence[list[SourcePicture]]) -> None:
        numbers = list(range(first_number, first_number + len(shards)))
        schema = _SCHEMA.with_metadata({"shards": json.dumps(numbers)})
        with tempfile.TemporaryDirectory(prefix="sam2_plan_") as temporary:
            path = Path(temporary) / "plan.parquet"
            with pq.ParquetWriter(
                path, schema, compression="zstd", write_statistics=False
            ) as writer:
                for pictures in shards:
                    rows = [vars(picture) for picture in pictures]
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            self._folder.put(_name_of(part), path)


def read_picture_list(path: str) -> list[SourcePicture]:
    """Reads ``--list``: a Parquet table with the column ``path`` and, if wanted, ``input_objects``.

    A relative path is made absolute: workers of a cluster run in folders of their own.

    Raises:
        ParameterError: It cannot be read, or has no such column.
    """
    try:
        table = pq.read_table(path)
        paths = table.column("path").cast(pa.string()).to_pylist()
        objects: list[str | None] = [None] * len(paths)
        if "input_objects" in table.column_names:
            # Where a list brings prompts, a picture without any has nothing to look for.
            texts = table.column("input_objects").cast(pa.string()).to_pylist()
            objects = [text or "[]" for text in texts]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ParameterError(
            f"--list must be a Parquet table with the column path and, if wanted, input_objects, "
            f"got {path!r}: {error}; write it so, for example with DuckDB or pandas."
        ) from error
    keys = [_absolute(text) if text else "" for text in paths]
    rows = zip(keys, objects, strict=True)
    found = {key: SourcePicture(key, key.rpartition("/")[2], "", own) for key, own in rows if key}
    if not found:
        raise ParameterError(f"--list must name pictures, got {path!r} without any; add some.")
    return list(found.values())


def _absolute(path: str) -> str:
    return path if is_url(path) else os.path.abspath(path)  # noqa: PTH100 - links stay


def _name_of(part: int) -> str:
    return f"{_FOLDER}/{part:04d}.parquet"


def _hash_of(path: str) -> int:
    # Python's own hash differs from process to process.
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "big")
