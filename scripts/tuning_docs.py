"""Makes the pictures and measured figures of `docs/tuning.md`: `make tuning-docs`.

Everything is run with the bundled network, on pictures that scikit-image ships and on drawn scenes
whose objects are known. In the document, what stands between `<!-- measured NAME -->` and
`<!-- /measured NAME -->` is written by this script, the rest by people.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from skimage import data

from scripts.tuning.bench import PICTURES, QUICK, Bench, Maker, Scale
from scripts.tuning.contrast import make_contrast
from scripts.tuning.crops import make_cost, make_crops
from scripts.tuning.edges import make_sharpen
from scripts.tuning.stability import make_stability
from scripts.tuning.strips import (
    STRIPS,
    make_base,
    make_batches,
    make_funnel,
    make_presets,
    make_tuned,
    strip_maker,
)

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENT = REPOSITORY / "docs" / "tuning.md"


def makers() -> dict[str, Maker]:
    """What makes each part, by its name in the document."""
    made: dict[str, Maker] = {
        "tuned": make_tuned,
        "base": make_base,
        "funnel": make_funnel,
        "points_per_batch": make_batches,
        "cost": make_cost,
        "crops": make_crops,
        "contrast": make_contrast,
        "stability": make_stability,
        "sharpen": make_sharpen,
    }
    for strip in STRIPS:
        made[strip.key] = strip_maker(strip)
    return made | {"preset": make_presets}


def with_part(document: str, name: str, text: str) -> str:
    """The document with one measured part made anew.

    Raises:
        ValueError: The document has no such part.
    """
    between = re.compile(rf"(<!-- measured {name} -->\n).*?(<!-- /measured {name} -->)", re.DOTALL)
    fresh, count = between.subn(lambda found: found[1] + text + found[2], document)
    if count != 1:
        raise ValueError(f"Expected one part 'measured {name}' in the document, found {count}.")
    return fresh


def write(
    bench: Bench, names: Sequence[str], document: Path, folder: Path, say: Callable[[str], None]
) -> None:
    """Makes parts of the document, one after the other.

    Args:
        bench: Runs the plugin.
        names: Of the parts.
        document: Is read and written again after each part.
        folder: Where the document's links look for pictures is `images/tuning` in this one.
        say: Is told what is done.
    """
    pictures = folder / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    for name in names:
        started = time.perf_counter()
        text = makers()[name](bench, pictures)
        document.write_text(
            with_part(document.read_text(encoding="utf-8"), name, text), encoding="utf-8"
        )
        say(f"{name}: {time.perf_counter() - started:.1f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes all parts, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(makers()), help="only these parts")
    parser.add_argument("--quick", action="store_true", help="few points, one grey picture")
    parser.add_argument("--out", type=Path, default=DOCUMENT.parent, help="folder to write into")
    options = parser.parse_args(arguments)
    document = options.out / DOCUMENT.name
    options.out.mkdir(parents=True, exist_ok=True)
    if document != DOCUMENT:
        document.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    bench = Bench(QUICK if options.quick else Scale())
    if options.quick:
        bench = Bench(QUICK, {"coins": data.coins()[:256, :256]})
    write(bench, options.only or list(makers()), document, options.out, print)


if __name__ == "__main__":
    main()
