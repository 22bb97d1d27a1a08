"""What the tests of tables and clusters share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sam2_batch.cluster.runs import draw_pictures


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five small pictures and one that is none."""
    folder = draw_pictures(tmp_path / "photos", 5)
    (folder / "bad.png").write_text("no picture")
    return folder
