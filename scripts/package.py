"""Builds what the Ikomia HUB takes: `make package` writes a flat zip and the same as a folder.

The folder of a plugin is all that the HUB sees, so README, licence and requirements are copied into
it. The requirements are split in two: the host installs the files in the order of their names and
without build isolation, and sam2, which comes as source, needs torch and wheel to be there first.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infer_segment_anything_2 import __version__

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "infer_segment_anything_2"
DIST = REPOSITORY / "dist"
HOME_PAGE = "https://github.com/Ikomia-hub/infer_segment_anything_2"

PLUGIN_SUFFIXES = {".py", ".pt", ".yaml", ".png", ".html", ".css", ".js", ".svg"}
FIRST_INSTALLED = ("torch", "torchvision")
BUILD_TOOLS = ("setuptools", "wheel")

# Where a link in Markdown goes on with the path of a file.
_RELATIVE = r"(?![a-z]+:|#)"

# One time for all files, so that the same content gives the same zip.
_ZIP_TIME = (2026, 1, 1, 0, 0, 0)


def main() -> None:
    """Builds, checks and tells where things are."""
    folder = build_folder(DIST)
    with ikomia_home_elsewhere():
        check_folder(folder)
    archive = zip_folder(folder, DIST / f"{NAME}-{__version__}.zip")
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB)\n{folder}")


@contextmanager
def ikomia_home_elsewhere() -> Iterator[None]:
    """Lets an Ikomia that is imported inside have a home for the time being.

    Its import empties the log in the user's own, makes folders there, and imports all of the
    user's plugins to write its ``ik`` name space anew.
    """
    before = {name: os.environ.get(name) for name in ("HOME", "IKOMIA_AUTO_COMPLETION")}
    with tempfile.TemporaryDirectory(prefix="sam2_package_") as home:
        os.environ.update(HOME=home, IKOMIA_AUTO_COMPLETION="0")
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def build_folder(parent: Path) -> Path:
    """Copies what belongs to the package into a fresh folder named like the plugin."""
    folder = parent / NAME
    shutil.rmtree(folder, ignore_errors=True)
    for source in sorted((REPOSITORY / NAME).rglob("*")):
        if source.suffix in PLUGIN_SUFFIXES and "__pycache__" not in source.parts:
            target = folder / source.relative_to(REPOSITORY / NAME)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    shutil.copyfile(REPOSITORY / "LICENSE", folder / "LICENSE")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(with_absolute_links(readme), encoding="utf-8")
    requirements = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    for name, lines in split_requirements(requirements).items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def with_absolute_links(readme: str) -> str:
    """Points links to files of the repository, which the package does not hold, at its home."""
    with_images = re.sub(rf"(!\[[^\]]*)\]\({_RELATIVE}", rf"\1]({HOME_PAGE}/raw/main/", readme)
    return re.sub(rf"\]\({_RELATIVE}", f"]({HOME_PAGE}/blob/main/", with_images)


def split_requirements(text: str) -> dict[str, list[str]]:
    """The two files for the host's installer, by name."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    first = [line for line in lines if re.split(r"[<>=]", line)[0] in FIRST_INSTALLED]
    return {
        "requirements1.txt": [*first, *BUILD_TOOLS],
        "requirements2.txt": [line for line in lines if line not in first],
    }


def check_folder(folder: Path) -> None:
    """Checks what the HUB's tools will read.

    Raises:
        SystemExit: Something is missing or wrong.
    """
    from infer_segment_anything_2.infer_segment_anything_2_process import (
        InferSegmentAnything2Factory,
    )

    info = InferSegmentAnything2Factory().info
    needed = (
        "short_description",
        "authors",
        "article",
        "article_url",
        "year",
        "license",
        "keywords",
        "repository",
        "original_repository",
        "documentation_link",
        "min_ikomia_version",
        "algo_tasks",
    )
    complaints = [f"info.{field} is empty" for field in needed if not getattr(info, field)]
    if info.name != folder.name:
        complaints.append(f"info.name is {info.name}, the folder is {folder.name}")
    if info.version != __version__:
        complaints.append(f"info.version is {info.version}, the package's {__version__}")
    files = [
        info.icon_path,
        "README.md",
        "LICENSE",
        f"{NAME}.py",
        f"{NAME}_process.py",
        f"{NAME}_widget.py",
        "demo_model/sam2_demo_nano.pt",
    ]
    complaints += [f"{file} is missing" for file in files if not (folder / file).is_file()]
    if complaints:
        raise SystemExit("The package is not complete: " + "; ".join(complaints))


def zip_folder(folder: Path, archive: Path) -> Path:
    """Zips the files of a folder flat: the HUB wants them at the zip's top."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes())
    return archive


if __name__ == "__main__":
    main()
