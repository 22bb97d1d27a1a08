"""The buttons for Studio's drawing tools, with the tool and the mode in words."""

from __future__ import annotations

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF
from PyQt6.QtWidgets import QButtonGroup, QGridLayout, QLabel, QSizePolicy, QToolButton, QWidget

from infer_segment_anything_2.sam2_form.widgets import (
    ColouredText,
    DrawingTool,
    connect,
    hint_colour,
)

__all__ = ["DrawingPanel"]

_ICON_PX = 18
_PER_LINE = 3

_TOOL_TIPS = {
    DrawingTool.FOREGROUND_POINT: "Click points on the object.",
    DrawingTool.BACKGROUND_POINT: "Click points that must not belong to the object.",
    DrawingTool.BOX: "Drag a box around an object. Each box is one object; a point in it is its.",
    DrawingTool.REGION: "Click the corners of a polygon, double-click the last: everything mode "
    "searches within it only, as with the field Region of interest.",
    DrawingTool.SELECT: "Click an item, or drag a frame around many. Delete removes what is "
    "selected; the mouse moves it.",
}
_ACTIVE = {
    DrawingTool.FOREGROUND_POINT: "Drawing: points on the object.",
    DrawingTool.BACKGROUND_POINT: "Drawing: points on the background.",
    DrawingTool.BOX: "Drawing: boxes, one per object.",
    DrawingTool.REGION: "Drawing: a region to search in; a double-click ends it.",
    DrawingTool.SELECT: "Selecting: drag a frame around drawn items; the Delete key removes them.",
}


class DrawingPanel(QWidget):
    """Chooses Studio's drawing tool; shows which one is active and which mode will run."""

    requested = pyqtSignal(DrawingTool)

    def __init__(self) -> None:
        super().__init__()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.addWidget(QLabel("Draw on the picture:"), 0, 0, 1, _PER_LINE)
        self._buttons = QButtonGroup(self)
        for index, tool in enumerate(DrawingTool):
            layout.addWidget(self._make_button(tool), 1 + index // _PER_LINE, index % _PER_LINE)
        for column in range(_PER_LINE):
            layout.setColumnStretch(column, 1)
        self._tool = ColouredText(hint_colour)
        self._mode = ColouredText(hint_colour)
        self._mode.setObjectName("mode")
        layout.addWidget(self._tool, layout.rowCount(), 0, 1, _PER_LINE)
        layout.addWidget(self._mode, layout.rowCount(), 0, 1, _PER_LINE)

    def show_mode(self, words: str) -> None:
        """Shows which mode will run."""
        self._mode.set_text(words)

    def _make_button(self, tool: DrawingTool) -> QToolButton:
        button = QToolButton()
        button.setObjectName(tool.name)
        button.setText(tool.value)
        button.setCheckable(True)
        button.setIcon(_tool_icon(tool))
        button.setIconSize(QSize(_ICON_PX, _ICON_PX))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setToolTip(f"<p>{_TOOL_TIPS[tool]}</p>")
        connect(button.clicked, lambda: self._choose(tool))
        self._buttons.addButton(button)
        return button

    def _choose(self, tool: DrawingTool) -> None:
        self._tool.set_text(_ACTIVE[tool])
        self.requested.emit(tool)


def _tool_icon(tool: DrawingTool) -> QIcon:
    """A green plus, a red minus, a blue frame, a violet polygon or an arrow, for any background."""
    pixmap = QPixmap(2 * _ICON_PX, 2 * _ICON_PX)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if tool is DrawingTool.BOX:
        painter.setPen(QPen(QColor("#2f80ed"), 2, Qt.PenStyle.DashLine))
        painter.drawRect(QRectF(2, 4, _ICON_PX - 4, _ICON_PX - 8))
    elif tool is DrawingTool.REGION:
        painter.setPen(QPen(QColor("#9b51e0"), 2))
        painter.drawPolygon(_polygon((2, 7), (9, 2), (16, 6), (13, 16), (5, 15)))
    elif tool is DrawingTool.SELECT:
        painter.setPen(QPen(QColor("#808080"), 1))
        painter.setBrush(QColor("#b0b0b0"))
        painter.drawPolygon(_polygon((4, 2), (14, 10), (9, 11), (7, 16)))
    else:
        _draw_point(painter, is_foreground=tool is DrawingTool.FOREGROUND_POINT)
    painter.end()
    return QIcon(pixmap)


def _draw_point(painter: QPainter, *, is_foreground: bool) -> None:
    middle = _ICON_PX / 2
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor("#2e9e4f" if is_foreground else "#d64541"))
    painter.drawEllipse(QPointF(middle, middle), middle - 1, middle - 1)
    painter.setPen(QPen(Qt.GlobalColor.white, 2))
    painter.drawLine(QPointF(5, middle), QPointF(_ICON_PX - 5, middle))
    if is_foreground:
        painter.drawLine(QPointF(middle, 5), QPointF(middle, _ICON_PX - 5))


def _polygon(*corners: tuple[float, float]) -> QPolygonF:
    return QPolygonF([QPointF(x, y) for x, y in corners])
