"""Opens the page on a photo, with the bundled model: `make page`."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from skimage.data import coffee

from infer_segment_anything_2.sam2_batch.command_line import main

FOLDER = Path("page_output")

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    photo = FOLDER / "coffee.png"
    Image.fromarray(coffee()).save(photo)
    model = ["--model-name", "sam2_demo_nano"]
    sys.exit(main(["page", str(photo), *model, "--out", str(FOLDER / "results"), *sys.argv[1:]]))
