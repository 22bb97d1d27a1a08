"""Ikomia's generated `ik` name space, for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def ikomia_namespace() -> Iterator[dict[str, str]]:
    """The environment of a process that may import `ikomia.utils.ik`.

    Ikomia generates it from the plugins of its home into its own package; whatever was there
    before is put back.
    """
    import ikomia.utils

    folder = Path(ikomia.utils.__file__).parent
    before = {path: path.read_bytes() for path in _generated_files(folder)}
    try:
        yield {**os.environ, "IKOMIA_AUTO_COMPLETION": "1"}
    finally:
        for path in _generated_files(folder):
            path.unlink()
        for path, content in before.items():
            path.write_bytes(content)


def _generated_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "ik.py", *folder.glob("*.cache")) if path.exists()]
