"""Writes the README's tables from the rows they show: `python -m scripts.readme_tables`.

Each stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from infer_segment_anything_2.parameters import ROWS
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES
from scripts.tuning.strips import STRIPS

_TUNING = "docs/tuning.md"
REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    """Brings the README up to date."""
    path = REPOSITORY / "README.md"
    path.write_text(with_fresh_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


def with_fresh_tables(readme: str) -> str:
    """The README with its generated tables made anew."""
    makers: dict[str, Callable[[], str]] = {
        "parameters": parameter_tables,
        "models": model_table,
    }
    for name, make in makers.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        readme = between.sub(rf"\g<1>{_escaped(make())}\g<2>", readme)
    return readme


def _escaped(replacement: str) -> str:
    """Text that `re.sub` puts in as it is."""
    return replacement.replace("\\", r"\\")


def parameter_tables() -> str:
    """A table per group of parameters; a name leads to its strip in the tuning guide."""
    shown = {strip.key for strip in STRIPS}
    parts = []
    for group, title in GROUP_TITLES.items():
        lines = [f"**{title}**\n", "| name | default | values | meaning |", "|---|---|---|---|"]
        for row in ROWS:
            if row.group == group:
                default = f"`{row.format(row.default)}`" if row.format(row.default) else "empty"
                name = f"[`{row.key}`]({_TUNING}#{row.key})" if row.key in shown else f"`{row.key}`"
                lines.append(f"| {name} | {default} | {row.expected} | {row.help} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def model_table() -> str:
    """All models, in the order of their rows."""
    lines = ["| `model_name` | parameters | download | for |", "|---|---|---|---|"]
    lines += [
        f"| `{row.name}` | {row.parameter_count / 1e6:.1f} M | {row.size_bytes / 1e6:.0f} MB "
        f"| {row.advice} |"
        for row in CHECKPOINTS.values()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
