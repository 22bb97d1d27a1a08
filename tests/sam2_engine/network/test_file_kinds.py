"""What lies under the name of weights and is none: the first sentence says what it is."""

from __future__ import annotations

import collections
import gzip
import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infer_segment_anything_2.errors import DamagedCheckpointError
from infer_segment_anything_2.sam2_engine.network.state_dicts import read_state_dict
from tests.sam2_engine.network.own_weights import PATCH, Tensors, assert_holds, load_own

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 156008466\n"


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"text")
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["own.pt", "own.safetensors", "own.bin", "own"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"<!DOCTYPE html>\n<html></html>", r"a web page", id="page"),
        pytest.param(b"\xef\xbb\xbf\n<HTML lang='en'>", r"a web page", id="page-with-mark"),
        pytest.param(LFS.encode(), r"a Git LFS pointer.*git lfs pull", id="lfs"),
        pytest.param(b'{"error": "not found"}', r"a text file", id="json"),
        pytest.param(b"", r"an empty file", id="empty"),
        pytest.param(gzip.compress(b"weights"), r"a gzip archive.*Unpack", id="gzip"),
        pytest.param(zipped("read.me"), r"a zip archive of other files", id="zip"),
        pytest.param(zipped("x" * 900)[:700], r"that was cut off", id="cut-off"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(9), r"a PNG picture", id="picture"),
    ],
)
def test_is_named(content: bytes, said: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedCheckpointError) as caught:
        load_own(str(tmp_path / name))
    first, advice = str(caught.value).split(". ", 1)
    assert re.search(said, f"{first}. {advice}", re.DOTALL)
    assert "cannot be read: expected" in first
    assert "weights_only" not in str(caught.value)


def test_pickled_code_is_named_and_its_loading_not_advised(tmp_path: Path) -> None:
    torch.save({"model": Path("x")}, tmp_path / "own.pt")
    with pytest.raises(DamagedCheckpointError, match=r"other Python objects \(pathlib") as caught:
        load_own(str(tmp_path / "own.pt"))
    assert "weights_only" not in str(caught.value)


def test_a_legacy_file_that_was_cut_off_is_said_to_be_just_that(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    tensors = {PATCH: torch.zeros(4, 3, 2, 2), "b.weight": torch.ones(50).half()}
    torch.save({"model": tensors}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for length in [*range(2, 700), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(DamagedCheckpointError, match=r"got the beginning of a file that was"):
            read_state_dict(path)


def test_a_whole_file_is_not_said_to_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    for content in ({"a": 1}, {"model": Path("x")}, [collections.Counter("ab")] * 3):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(DamagedCheckpointError) as caught:
            load_own(str(path))
        assert "cut off" not in str(caught.value)


@pytest.mark.parametrize("name", ["own.pt", "own.ckpt", "own"])
def test_safetensors_are_read_under_any_ending(
    name: str, nano_tensors: Tensors, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    save_file(nano_tensors, tmp_path / name)
    assert_holds(load_own(str(tmp_path / name)), nano_tensors)


@pytest.mark.parametrize("zip_format", [True, False])
def test_torchs_formats_are_read_under_any_ending(
    zip_format: bool, nano_tensors: Tensors, tmp_path: Path, save: Callable[..., str]
) -> None:
    path = Path(save({"model": nano_tensors}, _use_new_zipfile_serialization=zip_format))
    for name in ("own.ckpt", "own.safetensors", "own"):
        assert_holds(load_own(str(path.rename(path.with_name(name)))), nano_tensors)
        path = path.with_name(name)
