"""One picture through the engine as parameters say: what Ikomia's task and the shell share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.errors import DependencyError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import DrawnBox, DrawnPoint, ObjectPrompt, Polygon
from infer_segment_anything_2.request import (
    cleaning_settings,
    grid_settings,
    notes_on_regions,
    objects_of,
    prediction_settings,
    regions_of,
    tile_settings,
)
from infer_segment_anything_2.sam2_engine.hardware.waiting import short_spinning
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.prompted.refinement import Answered, starts_for
from infer_segment_anything_2.sam2_engine.settings import OnProgress
from infer_segment_anything_2.sam2_results.outcome import Segmentation

if TYPE_CHECKING:  # what loads torch
    from infer_segment_anything_2.sam2_engine.engine import Engine
    from infer_segment_anything_2.sam2_engine.everything.candidates import GenerationResult
    from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel

__all__ = ["OnStage", "Segmentation", "Segmenter", "precision_in_words", "provenance"]

OnStage = Callable[[str, int, int], None]
"""Called with the stage ("download", "encode", "objects", "points", "masks") and the numbers of its
steps done and in all; may raise ``CancelledError``."""

_RANKS = 3


class Segmenter:
    """Keeps the engine from run to run; a new one is made only when the model changes.

    Making one is cheap: torch is imported when the first model is loaded.

    With ``refine``, also keeps what was answered last, for a further point to go on from.

    Args:
        asks_again: Whether one picture may be asked again with other thresholds. Then what was
            found is kept, which takes memory; a run through a folder has no use for that.
        tunes: Whether that will surely happen. Then the first search is for lower thresholds too.
    """

    def __init__(self, *, asks_again: bool = True, tunes: bool = False) -> None:
        self._engine_options: dict[str, Any] = {"searches_wide": tunes}
        if not asks_again:
            self._engine_options["candidate_bytes"] = 0
        self._engine: Engine | None = None
        self._video_engine: Engine | None = None
        self._answered: Answered | None = None

    def load(self, parameters: Parameters, on_progress: OnStage | None = None) -> Engine:
        """Makes sure that the engine is that of the parameters.

        Raises:
            DependencyError: torch, or a package that it needs, is missing.
            CheckpointError: The weights are not there and cannot be fetched, or are unusable.
        """
        self._engine = self._engine_for(self._engine, parameters, None, on_progress)
        return self._engine

    def load_for_video(self, parameters: Parameters, on_progress: OnStage | None = None) -> Engine:
        """The engine that follows objects: that of pictures, or one that sees less of them.

        Raises:
            DependencyError: torch, or a package that it needs, is missing.
            CheckpointError: The weights are not there and cannot be fetched, or are unusable.
        """
        if parameters.track_size == "full":
            self._video_engine = None
            return self.load(parameters, on_progress)
        size_px = int(parameters.track_size)
        self._video_engine = self._engine_for(self._video_engine, parameters, size_px, on_progress)
        return self._video_engine

    def _engine_for(
        self,
        engine: Engine | None,
        parameters: Parameters,
        image_size_px: int | None,
        on_progress: OnStage | None,
    ) -> Engine:
        """The engine, if it is of what is asked for; else a new one."""
        try:
            with short_spinning():
                from infer_segment_anything_2.sam2_engine.engine import Engine
                from infer_segment_anything_2.sam2_engine.hardware.devices import (
                    choose_device,
                    choose_encoder_precision,
                    choose_precision,
                )
                from infer_segment_anything_2.sam2_engine.network.loading import load_model
        except ImportError as error:
            raise DependencyError(
                f"A package that the network needs does not load: {error}; install what "
                "requirements.txt names, at least: pip install torch torchvision sam2==1.1.0"
            ) from error
        device = choose_device(parameters.cuda)
        model = load_model(
            parameters.model_name,
            parameters.model_path,
            device=device,
            precision=choose_precision(parameters.precision, device),
            encoder_precision=choose_encoder_precision(parameters.precision, device),
            image_size_px=image_size_px,
            progress=_stage(on_progress, "download"),
        )
        if engine is None or engine.model is not model:
            return Engine(model, **self._engine_options)
        return engine

    def segment(
        self,
        image: object,
        parameters: Parameters,
        drawn_points: Sequence[DrawnPoint] = (),
        drawn_boxes: Sequence[DrawnBox] = (),
        on_progress: OnStage | None = None,
        *,
        mask: object = None,
        drawn_regions: Sequence[Polygon] = (),
        only_prompted: bool = False,
    ) -> Segmentation:
        """Segments what is prompted, or everything when nothing is.

        Args:
            image: Any picture that :func:`.image.rgb.to_rgb8` takes; never changed.
            parameters: Prompts and settings.
            drawn_points: Points beside those of the parameters.
            drawn_boxes: Boxes beside those of the parameters.
            on_progress: Called between steps of work.
            mask: A black and white picture of any size that shows about where an object is, or
                None. It belongs to the only object that is prompted otherwise, or is one by itself.
            drawn_regions: Where everything is searched for, beside the regions of the parameters;
                not looked at when something is prompted.
            only_prompted: Give nothing, instead of everything, when nothing is prompted.

        Raises:
            SegmentAnythingError: The picture, a prompt, the weights or the device is unusable.
        """
        parameters = parameters.with_preset()
        image_rgb_hwc = to_rgb8(image)
        image_hw = (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1])
        objects, notes = objects_of(
            parameters,
            image_hw,
            drawn_points=drawn_points,
            drawn_boxes=drawn_boxes,
            mask=mask,
        )
        engine = self.load(parameters, on_progress)
        ranked: tuple[MaskSet, ...] = ()
        filter_counts = sharpening = None
        if objects:
            ranked = self._predict(engine, image_rgb_hwc, objects, parameters, on_progress)
        elif not only_prompted:
            regions = regions_of(parameters, drawn_regions, image_hw)
            result = _generate(engine, image_rgb_hwc, parameters, regions, on_progress)
            ranked, filter_counts = (result.masks,), result.filter_counts
            sharpening = result.sharpening
            notes += notes_on_regions(parameters, regions, image_hw, filter_counts.points)
        nothing = MaskSet.empty(image_hw)
        first, second, third = (*ranked, *[nothing] * (_RANKS - len(ranked)))
        return Segmentation(
            image_rgb_hwc=image_rgb_hwc,
            ranked=(first, second, third),
            objects=None if filter_counts is not None else tuple(objects),
            filter_counts=filter_counts,
            notes=tuple(notes),
            settings=provenance(engine.model, parameters),
            sharpening=sharpening,
        )

    def _predict(
        self,
        engine: Engine,
        image_rgb_hwc: npt.NDArray[np.uint8],
        objects: Sequence[ObjectPrompt],
        parameters: Parameters,
        on_progress: OnStage | None,
    ) -> tuple[MaskSet, ...]:
        if on_progress is not None:
            on_progress("encode", 0, 1)
        image = engine.embed(image_rgb_hwc, input_size_percent=parameters.input_size_percent)
        picture = f"{engine.model.digest} {image.embedding.digest}"
        starts = starts_for(objects, picture, self._answered if parameters.refine else None)
        goes_on = any(start is not None for start in starts)
        prediction = engine.predict(
            image,
            objects,
            prediction_settings(parameters, goes_on=goes_on),
            cleaning=cleaning_settings(parameters, everything=False),
            start_logits=starts,
            on_progress=_stage(on_progress, "objects"),
            image_rgb_hwc=image_rgb_hwc,
            input_size_percent=parameters.input_size_percent,
        )
        self._answered = None
        if parameters.refine:
            self._answered = Answered(
                picture, tuple(objects), tuple(starts), prediction.low_res_logits_nhw
            )
        return prediction.ranked


def precision_in_words(model: LoadedModel) -> str:
    """The number format that the masks depend on, as results tell it."""
    rest, encoder = (
        str(precision).removeprefix("torch.")
        for precision in (model.precision, model.encoder_precision)
    )
    return rest if rest == encoder else f"{rest}, encoder {encoder}"


def _generate(
    engine: Engine,
    image_rgb_hwc: npt.NDArray[np.uint8],
    parameters: Parameters,
    regions: tuple[Polygon, ...] | None,
    on_progress: OnStage | None,
) -> GenerationResult:
    return engine.generate(
        image_rgb_hwc,
        grid_settings(parameters, regions),
        input_size_percent=parameters.input_size_percent,
        tiles=tile_settings(parameters),
        cleaning=cleaning_settings(parameters, everything=True),
        on_progress=_stage(on_progress, "points"),
        on_sharpening=_stage(on_progress, "masks"),
    )


def provenance(model: LoadedModel, parameters: Parameters) -> dict[str, Any]:
    """What the result depends on besides the picture, to be able to make it again."""
    return {
        "plugin_version": __version__,
        "weights_sha256": model.digest,
        "device": str(model.device),
        "precision": precision_in_words(model),
        "parameters": parameters.to_strings(),
    }


def _stage(on_progress: OnStage | None, stage: str) -> OnProgress | None:
    """The progress callback of one stage."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(stage, done, total)
