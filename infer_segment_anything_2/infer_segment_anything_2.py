"""What Ikomia looks for first: the plugin's factories, and nothing else."""

from __future__ import annotations

from ikomia import dataprocess

from infer_segment_anything_2.infer_segment_anything_2_process import (
    InferSegmentAnything2Factory,
    InferSegmentAnything2ParamFactory,
)

__all__ = ["IkomiaPlugin"]


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    """Entry point of the plugin."""

    def get_process_factory(self) -> InferSegmentAnything2Factory:
        """The factory of the task."""
        return InferSegmentAnything2Factory()

    def get_param_factory(self) -> InferSegmentAnything2ParamFactory:
        """The factory of its parameters."""
        return InferSegmentAnything2ParamFactory()

    def get_widget_factory(self) -> dataprocess.CWidgetFactory:
        """The factory of its widget; only Studio asks, and only it needs Qt."""
        from infer_segment_anything_2.infer_segment_anything_2_widget import (
            InferSegmentAnything2WidgetFactory,
        )

        return InferSegmentAnything2WidgetFactory()
