"""Writes pictures of Studio's form: each group open, with mistakes, in light and in dark.

python -m scripts.widget_shot [FOLDER]      (default: widget_shots)
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PyQt6.QtGui import QColor, QPalette
from PyQt6.QtWidgets import QApplication, QVBoxLayout, QWidget

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_form.form import ParameterForm
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES, Group

DOCK_WIDTH_PX = 380

# The group open, the values shown: the README's picture first.
SHOTS: dict[str, tuple[tuple[Group, ...], Parameters]] = {
    "overview": (
        ("prompts", "model"),
        Parameters(input_point="[[500, 375], [610, 420]]", input_point_label="[1, 0]"),
    ),
    **{group: ((group,), Parameters()) for group in GROUP_TITLES},
    "crops": (("everything",), Parameters(crop_n_layers=1, use_m2m=True, box_nms_thresh=0.9)),
    "thorough": (("everything",), Parameters(preset="thorough")),
    "tiles": (("everything",), Parameters(tile_size=1024, point_grids="[[0.5, 0.5]]")),
    "limits": (("cleanup",), Parameters(min_mask_area=100, max_mask_area=2_000_000_000)),
    "own_weights": (("model",), Parameters(model_path="/data/my_finetuned_sam2.pt")),
    "mistake": (("prompts",), Parameters(input_point="[[500, 375], [610, 420]", input_box="1 2")),
    "many_prompts": (("prompts",), Parameters(input_point=str([[x, x] for x in range(60)]))),
}


def light_palette() -> QPalette:
    """Qt's own light palette."""
    return QPalette(QColor("#efefef"))


def dark_palette() -> QPalette:
    """A dark palette such as desktops set."""
    palette = QPalette(QColor("#3a3a3a"))
    role = QPalette.ColorRole
    for name, colour in (
        (role.Window, "#3a3a3a"),
        (role.Base, "#282828"),
        (role.Button, "#464646"),
        (role.Highlight, "#cc5a20"),
        (role.ToolTipBase, "#282828"),
    ):
        palette.setColor(name, QColor(colour))
    for name in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        palette.setColor(name, QColor("#e0e0e0"))
        palette.setColor(QPalette.ColorGroup.Disabled, name, QColor("#7c7c7c"))
    palette.setColor(role.PlaceholderText, QColor("#8c8c8c"))
    return palette


def picture(parameters: Parameters, groups: tuple[Group, ...], path: Path) -> None:
    """Shows the form with these groups open and saves what is to be seen."""
    dock = QWidget()
    layout = QVBoxLayout(dock)
    form = ParameterForm(parameters)
    for group in GROUP_TITLES:
        form.set_group_open(group, is_open=group in groups)
    try:
        form.parameters()
    except PromptError as error:
        form.show_error(error)
    layout.addWidget(form)
    layout.addStretch()
    dock.resize(DOCK_WIDTH_PX, 100)
    dock.show()
    for _ in range(3):  # wrapped texts settle their height in steps
        QApplication.processEvents()
        dock.resize(DOCK_WIDTH_PX, layout.heightForWidth(DOCK_WIDTH_PX))
    dock.grab().save(str(path))
    dock.close()


def main() -> None:
    """Writes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("widget_shots"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    application = QApplication([])
    application.setStyle("Fusion")
    for theme, palette in (("light", light_palette()), ("dark", dark_palette())):
        application.setPalette(palette)
        for name, (groups, parameters) in SHOTS.items():
            picture(parameters, groups, folder / f"{name}_{theme}.png")
    print(f"Wrote {len(list(folder.glob('*.png')))} pictures to {folder}.")


if __name__ == "__main__":
    main()
