"""What the tests of tables and clusters share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sam2_batch.cluster.processes import Processes
from tests.sam2_batch.cluster.runs import draw_pictures


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five small pictures and one that is none."""
    folder = draw_pictures(tmp_path / "photos", 5)
    (folder / "bad.png").write_text("no picture")
    return folder


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as started:
        yield started


@pytest.fixture(scope="session")
def store_address() -> Iterator[str]:
    """The address of an S3 server of this machine."""
    with Processes() as started:
        server = started.python("-m", "tests.sam2_batch.cluster.store_server")
        assert server.stdout is not None
        yield server.stdout.readline().strip()


@pytest.fixture
def store(store_address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """That server's store, which is also in the environment; with an empty bucket "bucket"."""
    import s3fs

    environment = {
        "AWS_ENDPOINT_URL": store_address,
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    files = s3fs.S3FileSystem(use_listings_cache=False)
    if files.exists("bucket"):
        files.rm("bucket", recursive=True)
    files.mkdir("bucket")
    return files
