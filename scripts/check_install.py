"""Installs the package as a user's Ikomia does, from nothing: `make check-install`.

A bare virtual environment with only Ikomia, the zip extracted into the plugin folder of an Ikomia
home of its own, the host's own installer run on it, and a workflow run on a drawn picture. Takes
some minutes and several GB, all in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "infer_segment_anything_2"

_INSTALL = """
import sys
from ikomia.utils import plugintools
plugintools.install_requirements(sys.argv[1])
"""

_RUN = f"""
import numpy as np
from ikomia.dataprocess.workflow import Workflow
picture = np.full((240, 320, 3), 60, np.uint8)
picture[60:180, 80:240] = (220, 120, 40)
workflow = Workflow()
task = workflow.add_task(name="{NAME}", auto_connect=True)
task.set_parameters({{"model_name": "sam2_demo_nano", "input_box": [70, 50, 250, 190]}})
workflow.run_on(array=picture)
mask = task.get_output(1).get_objects()[0].mask > 0
wanted = np.zeros(mask.shape, bool)
wanted[60:180, 80:240] = True
overlap = (mask & wanted).sum() / (mask | wanted).sum()
print(f"IoU of the box's mask with the drawn rectangle: {{overlap:.3f}}")
assert overlap > 0.5
"""


def main() -> None:
    """Installs and runs; a failing step ends the script with its output."""
    archive = newest_package()
    with tempfile.TemporaryDirectory(prefix="sam2_check_install_") as folder:
        root = Path(folder)
        plugin = root / "home" / "Ikomia" / "Plugins" / "Python" / NAME
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(plugin)
        venv.create(root / "venv", with_pip=True)
        python = root / "venv" / "bin" / "python"
        print("Installing Ikomia alone", flush=True)
        run(root, python, "-m", "pip", "install", "--quiet", "ikomia==0.16.1")
        print("Running the host's installer on the package", flush=True)
        run(root, python, "-c", _INSTALL, str(plugin))
        print("Running the workflow", flush=True)
        run(root, python, "-c", _RUN)
    print(f"{archive.name} installs and runs")


def newest_package() -> Path:
    """The zip that `make package` wrote."""
    archives = sorted((REPOSITORY / "dist").glob(f"{NAME}-*.zip"))
    if not archives:
        raise SystemExit("There is no package in dist/: run make package first.")
    return archives[-1]


def run(root: Path, python: Path, *arguments: str) -> None:
    """Runs the environment's Python with an Ikomia home of its own."""
    environment = {
        **os.environ,
        "HOME": str(root / "home"),
        "IKOMIA_AUTO_COMPLETION": "0",
        "SAM2_BUILD_CUDA": "0",
    }
    done = subprocess.run([str(python), *arguments], env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
