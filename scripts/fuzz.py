"""Throws bad input at every door and counts what comes out: `make fuzz`.

The cases and their judges are those of the tests (`tests/properties/`), many more of them. Prints
a line per kind of input, and ends with status 1 when anything came out but valid masks or one of
our errors; the case is then printed as small as it could be made.

python -m scripts.fuzz [--seed N] [--scale X] [--only WORDS]
"""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter

# Ikomia keeps to a home of its own.
os.environ.update(HOME=tempfile.mkdtemp(prefix="sam2_fuzz_"), IKOMIA_AUTO_COMPLETION="0")

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.properties.bad_input import AREAS
from tests.properties.judging import VALID, Area


def main() -> int:
    """Runs all areas; 0 when nothing failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="other cases for another number")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the usual number")
    parser.add_argument("--only", default="", help="only areas with these words in their name")
    arguments = parser.parse_args()
    chosen = [area for area in AREAS if arguments.only in area.name]
    print(f"{'area':<30}{'cases':>7}{'valid':>7}  {'refused':<52}{'slowest':>9}{'total':>8}")
    atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
    fuzzed = [fuzz(area, arguments.seed, arguments.scale) for area in chosen]
    cases = sum(count for count, _ in fuzzed)
    failures = sum(failed for _, failed in fuzzed)
    print(f"{cases} cases, seed {arguments.seed}: {failures} areas with failures")
    return 1 if failures else 0


def fuzz(area: Area, seed_number: int, scale: float) -> tuple[int, bool]:
    """Tries the cases of an area and prints its line.

    Returns:
        How many cases were tried, and whether one failed.
    """
    verdicts: Counter[str] = Counter()
    slowest_s = 0.0

    @seed(seed_number)
    @settings(
        max_examples=max(1, round(area.fuzz_cases * scale)),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(area.cases)
    def check(case: object) -> None:
        nonlocal slowest_s
        case_start_s = time.perf_counter()
        verdict = "failed"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                verdict = area.judge(case)
        finally:
            verdicts[verdict] += 1
            slowest_s = max(slowest_s, time.perf_counter() - case_start_s)

    start_s = time.perf_counter()
    try:
        check()
    except Exception:  # noqa: BLE001 - any exception is what we are looking for
        traceback.print_exc()
    refused = ", ".join(
        f"{name} {count}" for name, count in verdicts.most_common() if name != VALID
    )
    print(
        f"{area.name:<30}{verdicts.total():>7}{verdicts[VALID]:>7}  {refused:<52}"
        f"{slowest_s:>7.2f} s{time.perf_counter() - start_s:>6.0f} s",
        flush=True,
    )
    return verdicts.total(), verdicts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
