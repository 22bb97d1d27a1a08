from __future__ import annotations

import json
from pathlib import Path

import pytest

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_results.whole_files import (
    remove_file,
    write_json,
    write_text,
    write_whole,
)


class TestWriteWhole:
    def test_a_failure_half_way_leaves_the_earlier_file(self, tmp_path: Path) -> None:
        path = tmp_path / "result.txt"
        write_text(path, "first")

        def fail(file: Path) -> None:
            file.write_text("half of the sec")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_whole(path, fail)
        assert path.read_text() == "first"
        assert list(tmp_path.iterdir()) == [path]

    def test_tells_what_the_system_said(self, tmp_path: Path) -> None:
        def fail(file: Path) -> None:
            raise OSError(28, "No space left on device", str(file))

        with pytest.raises(
            ExportError, match=r"Cannot write .*result.txt: No space left on device"
        ):
            write_whole(tmp_path / "result.txt", fail)

    def test_takes_names_as_long_as_the_system_does(self, tmp_path: Path) -> None:
        path = tmp_path / ("n" * 251 + ".txt")
        write_text(path, "ä\r\n")
        assert path.read_bytes() == "ä\r\n".encode()


class TestWriteJson:
    def test_refuses_what_is_no_json(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "a.json", {"value": float("nan")})
        assert list(tmp_path.iterdir()) == []

    def test_reads_back(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a.json", {"value": [1, 2.5, None, "ä"]})
        assert json.loads((tmp_path / "a.json").read_text()) == {"value": [1, 2.5, None, "ä"]}


class TestRemoveFile:
    def test_takes_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        remove_file(tmp_path / "a")
        assert list(tmp_path.iterdir()) == []

    def test_tells_what_the_system_said(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match="Cannot write"):
            remove_file(tmp_path)
