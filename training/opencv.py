"""OpenCV, from wherever it is: installed, or bundled with Ikomia (which is not imported for it)."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

__all__ = ["cv2"]


def _load() -> Any:
    if importlib.util.find_spec("cv2") is None:
        ikomia = importlib.util.find_spec("ikomia")
        if ikomia is None or ikomia.origin is None:
            raise ModuleNotFoundError("No OpenCV found. Install opencv-python-headless, or ikomia.")
        sys.path.append(str(Path(ikomia.origin).parent / "opencv"))
    return importlib.import_module("cv2")


cv2: Any = _load()
