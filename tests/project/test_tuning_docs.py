"""The tuning guide: it knows every parameter, its pictures are there, its script works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from infer_segment_anything_2.parameters import ROWS
from scripts.tuning_docs import DOCUMENT, main, makers, with_part

TEXT = DOCUMENT.read_text(encoding="utf-8")
LINKED = re.findall(r"\]\((images/[^)]+)\)", TEXT)
MOST_BYTES_EACH = 300_000
MOST_BYTES = 3_000_000


class TestDocument:
    @pytest.mark.parametrize(
        "key", [row.key for row in ROWS if row.group in ("everything", "cleanup")]
    )
    def test_tells_of_every_parameter(self, key: str) -> None:
        assert f"`{key}`" in TEXT

    @pytest.mark.parametrize("name", list(makers()))
    def test_has_each_measured_part_filled(self, name: str) -> None:
        emptied = with_part(TEXT, name, "")
        assert len(emptied) < len(TEXT)

    def test_links_pictures_that_are_there(self) -> None:
        assert LINKED
        missing = [link for link in LINKED if not (DOCUMENT.parent / link).is_file()]
        assert missing == []

    def test_has_no_picture_that_nobody_sees(self) -> None:
        drawn = {
            path.relative_to(DOCUMENT.parent).as_posix()
            for path in (DOCUMENT.parent / "images" / "tuning").iterdir()
        }
        assert drawn == set(LINKED)

    def test_pictures_are_small(self) -> None:
        sizes = [path.stat().st_size for path in (DOCUMENT.parent / "images").rglob("*.*")]
        assert max(sizes) < MOST_BYTES_EACH
        assert sum(sizes) < MOST_BYTES

    def test_links_into_itself_lead_somewhere(self) -> None:
        headings = {
            re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in TEXT.splitlines()
            if line.startswith("#")
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings


class TestScript:
    @pytest.mark.slow
    def test_makes_every_part_and_picture(self, tmp_path: Path) -> None:
        main(["--quick", "--out", str(tmp_path)])
        made = (tmp_path / "tuning.md").read_text(encoding="utf-8")
        for name in makers():
            assert len(with_part(made, name, "")) < len(made)
        for link in set(re.findall(r"\]\((images/[^)]+)\)", made)):
            with Image.open(tmp_path / link) as picture:
                picture.load()
        assert "NOT the same" not in made

    def test_refuses_a_document_without_the_part(self) -> None:
        with pytest.raises(ValueError, match="'measured crops'"):
            with_part("nothing measured here", "crops", "text")
