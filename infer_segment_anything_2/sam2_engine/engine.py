"""The four verbs: embed a picture, predict masks, generate masks of everything, track objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder, PreparedImage
from infer_segment_anything_2.sam2_engine.everything.candidates import (
    Candidates,
    GenerationResult,
    search_key,
)
from infer_segment_anything_2.sam2_engine.everything.candidates import cleaned as cleaned_result
from infer_segment_anything_2.sam2_engine.everything.generation import search
from infer_segment_anything_2.sam2_engine.everything.sharpening import sharpened
from infer_segment_anything_2.sam2_engine.hardware.memory import is_out_of_memory, out_of_memory
from infer_segment_anything_2.sam2_engine.hardware.openmp import full_teams
from infer_segment_anything_2.sam2_engine.image.embedding import Embedding, embed_image
from infer_segment_anything_2.sam2_engine.image.embedding_cache import (
    EmbeddingCache,
    PictureDigests,
    image_digest,
)
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel
from infer_segment_anything_2.sam2_engine.prompted.looking import Embed, Looking
from infer_segment_anything_2.sam2_engine.prompted.prediction import Prediction, predict
from infer_segment_anything_2.sam2_engine.prompted.prediction import cleaned as cleaned_prediction
from infer_segment_anything_2.sam2_engine.prompted.zooming import zoomed
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    GridSettings,
    OnProgress,
    PredictionSettings,
    TileSettings,
    TrackingSettings,
)
from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState
from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame, Tracker

__all__ = ["Engine"]

_DEFAULT_CACHE_BYTES = 256 * 2**20
# One search with all its logits, and the run lengths of many masks.
_DEFAULT_CANDIDATE_BYTES = 384 * 2**20
_WHOLE = 100
_REMEDY = (
    "Take a smaller model_name, set cuda to False to compute on the CPU, or close what else uses "
    "the device."
)


class Engine:
    """A network with its decoder and a bounded memory of pictures; safe from several threads.

    Args:
        model: The loaded network; its device and precision are the engine's.
        cache_bytes: How much the remembered pictures may take, on the model's device.
        candidate_bytes: How much what everything runs found may take, to be filtered again, also
            on the model's device; 0 keeps nothing.
        searches_wide: Search at first already for what lower thresholds would ask for, where
            someone tunes for sure.
    """

    @full_teams()
    def __init__(
        self,
        model: LoadedModel,
        *,
        cache_bytes: int = _DEFAULT_CACHE_BYTES,
        candidate_bytes: int = _DEFAULT_CANDIDATE_BYTES,
        searches_wide: bool = False,
    ) -> None:
        self.model = model
        self._decoder = FastMaskDecoder(model.network, dtype=model.precision)
        self._cache: EmbeddingCache[PreparedImage] = EmbeddingCache(cache_bytes)
        self._digests = PictureDigests()
        self._searches_wide = searches_wide
        self._candidates: EmbeddingCache[Candidates] = EmbeddingCache(
            candidate_bytes, lambda found: found.nbytes
        )
        self._tracker = Tracker(model.network, model.precision)
        # Alone, so that a video does not push the pictures out, and a paused frame is still there.
        self._last_frame: Embedding | None = None
        # More objects of a video did not fit into memory at once, and are not tried again.
        self._most_objects_at_once: int | None = None

    @full_teams()
    def embed(
        self,
        image_rgb_hwc: npt.NDArray[np.uint8],
        *,
        input_size_percent: int = _WHOLE,
        remember: bool = True,
    ) -> PreparedImage:
        """Runs the image encoder, unless the same picture was embedded lately.

        Args:
            image_rgb_hwc: H x W x 3 RGB; never changed.
            input_size_percent: Shrinks the picture to this much of its sides first; prompts and
                masks stay in pixels of the given picture.
            remember: Keep the features for the next call.

        Raises:
            DeviceError: The memory does not suffice.
        """
        digest = f"{self._digests.of(image_rgb_hwc)}@{input_size_percent}"
        known = self._cache.get(digest)
        if known is not None:
            return known
        with self._memory_for("encode one picture"):
            image = self._decoder.prepare(
                embed_image(
                    self.model.network,
                    image_rgb_hwc,
                    input_size_percent=input_size_percent,
                    precision=self.model.encoder_precision,
                    digest=digest,
                )
            )
        if remember:
            self._cache.put(digest, image)
        return image

    @full_teams()
    def predict(
        self,
        image: PreparedImage,
        objects: Sequence[ObjectPrompt],
        settings: PredictionSettings | None = None,
        *,
        cleaning: CleaningSettings | None = None,
        start_logits: Sequence[Tensor | None] | None = None,
        on_progress: OnProgress | None = None,
        image_rgb_hwc: npt.NDArray[np.uint8] | None = None,
        input_size_percent: int = _WHOLE,
    ) -> Prediction:
        """Predicts masks for every object; see :func:`.prompted.prediction.predict`.

        With ``settings.zoom``, objects are then asked for once more in windows of the picture; see
        :func:`.prompted.zooming.zoomed`. A few windows are remembered, as pictures are.

        Args:
            image: From :meth:`embed` of this engine.
            objects: At least one, in pixels of the picture.
            settings: How masks are chosen; the defaults if None.
            cleaning: What is done to the finished masks; nothing if None.
            start_logits: Per object an earlier answer to start from, or None.
            on_progress: Called with the numbers of objects done and in all.
            image_rgb_hwc: The picture that ``image`` is of; needed to zoom, and only then.
            input_size_percent: As in :meth:`embed`, for the windows.

        Raises:
            DeviceError: The memory does not suffice.
            ParameterError: The settings say to zoom, and the picture is not given.
        """
        settings = settings or PredictionSettings()
        zooms = settings.zoom != "off"
        if zooms and (image_rgb_hwc is None or image_rgb_hwc.shape[:2] != image.embedding.image_hw):
            raise ParameterError(
                "To zoom, the picture must be given as image_rgb_hwc, of height and width "
                f"{image.embedding.image_hw}, got "
                f"{'none' if image_rgb_hwc is None else image_rgb_hwc.shape}; give predict the "
                "picture that was embedded, or set zoom to off.",
                key="zoom",
            )
        prediction = predict(
            self._decoder,
            image,
            objects,
            settings,
            start_logits=start_logits,
            on_progress=_without_steps(on_progress) if zooms else on_progress,
        )
        if zooms and image_rgb_hwc is not None:
            prediction = zoomed(
                self._decoder,
                self._embedding_windows(input_size_percent),
                image_rgb_hwc,
                objects,
                prediction,
                settings,
                on_progress,
            )
        return prediction if cleaning is None else cleaned_prediction(prediction, objects, cleaning)

    @full_teams()
    def generate(
        self,
        image_rgb_hwc: npt.NDArray[np.uint8],
        settings: GridSettings | None = None,
        *,
        input_size_percent: int = _WHOLE,
        tiles: TileSettings | None = None,
        cleaning: CleaningSettings | None = None,
        on_progress: OnProgress | None = None,
        on_sharpening: OnProgress | None = None,
    ) -> GenerationResult:
        """Finds masks of everything; see :func:`.everything.generation.search`.

        What was found on the last pictures is kept, within ``candidate_bytes``: a run that differs
        from an earlier one in its filters only is answered from there, with the same masks as by a
        new search, at once.

        With ``settings.sharpen``, what the filters left is then asked for once more, before it is
        cleaned; see :func:`.everything.sharpening.sharpened`. Those answers are kept too.

        Args:
            image_rgb_hwc: H x W x 3 RGB; never changed.
            settings: The grid and the filters; Meta's defaults if None.
            input_size_percent: As in :meth:`embed`.
            tiles: Search a big picture in tiles too; crop layers are not used then. See
                :mod:`.everything.tiles`.
            cleaning: What is done to the finished masks; nothing if None.
            on_progress: Called with the numbers of points done and in all.
            on_sharpening: Called with the numbers of masks done and in all; ``on_progress``, with
                all points done, if None.

        Raises:
            DeviceError: The memory does not suffice.
        """
        settings = settings or GridSettings()
        picture = f"{self._digests.of(image_rgb_hwc)}@{input_size_percent}"
        key = f"{picture} {tiles} {search_key(settings)}"
        found = self._candidates.get(key)
        if found is None or not found.serves(settings):
            found = self.candidates(
                image_rgb_hwc,
                # Asked again on the same picture: someone tunes, and will ask for less again.
                settings.widened() if found is not None or self._searches_wide else settings,
                input_size_percent=input_size_percent,
                tiles=tiles,
                on_progress=on_progress,
            )
        elif on_progress is not None:
            on_progress(found.n_points, found.n_points)
        result = found.filtered(settings)
        self._candidates.put(key, found)  # only now, with the masks that were written
        if settings.sharpen:
            looking = Looking(
                self._decoder,
                self._embedding_windows(input_size_percent),
                image_rgb_hwc,
                settings.of_sharpening(),
                one_by_one=True,
            )
            masks, counts = sharpened(
                looking,
                result.masks,
                found.answers,
                on_sharpening or _all_done(on_progress, found.n_points),
            )
            result = replace(result, masks=masks, sharpening=counts)
            self._candidates.put(key, found)  # with what was answered
        if cleaning is not None:
            result = cleaned_result(result, cleaning, found.worked_out)
            self._candidates.put(key, found)  # with what was worked out
        return result

    @full_teams()
    def candidates(
        self,
        image_rgb_hwc: npt.NDArray[np.uint8],
        settings: GridSettings | None = None,
        *,
        input_size_percent: int = _WHOLE,
        tiles: TileSettings | None = None,
        on_progress: OnProgress | None = None,
    ) -> Candidates:
        """Searches for masks of everything, to be filtered later, as often as wanted.

            found = engine.candidates(image_rgb_hwc, GridSettings().widened())
            result = found.filtered(replace(found.settings, pred_iou_thresh=0.7), cleaning)

        Never looks anything up, and keeps only the picture's features: the value is the caller's.

        Args:
            image_rgb_hwc: H x W x 3 RGB; never changed.
            settings: The grid; its ``pred_iou_thresh`` and ``stability_score_thresh`` are the least
                that can be asked for later, the other filters do not matter yet. Meta's defaults
                if None.
            input_size_percent: As in :meth:`embed`.
            tiles: As in :meth:`generate`.
            on_progress: Called with the numbers of points done and in all.
        """
        settings = settings or GridSettings()
        in_parts = tiles is not None or settings.crop_n_layers > 0
        return search(
            # Features of many parts would push all others out, and stand beside the encoder's peak.
            partial(self.embed, input_size_percent=input_size_percent, remember=not in_parts),
            self._decoder,
            image_rgb_hwc,
            settings,
            tiles,
            on_progress,
        )

    @full_teams()
    def track(
        self,
        state: TrackerState,
        image_rgb_hwc: npt.NDArray[np.uint8],
        prompts: Mapping[int, ObjectPrompt] | None = None,
        settings: TrackingSettings | None = None,
    ) -> TrackedFrame:
        """Finds the tracked and the prompted objects in the next frame of a video.

        The state holds all there is to know of the frames before, and is never changed: to run a
        frame again, or to go back, give an older one. Frames in reverse are tracked backwards.

        Args:
            state: ``TrackerState()`` at first, then the ``state`` of the frame before.
            image_rgb_hwc: H x W x 3 RGB; never changed. Not encoded where nothing is tracked.
            prompts: By object id, in pixels of the frame. A new id is a new object. A known one's
                points and box correct the mask that is found without them; its mask replaces it.
            settings: How objects are followed; Meta's defaults if None.

        Raises:
            DeviceError: The memory does not suffice.
            PromptError: A prompt is empty, or the frame has another size than those before.
        """
        settings = settings or TrackingSettings()
        with self._memory_for("track one object through one frame"):
            while True:
                at_once = min(
                    settings.batch_objects, self._most_objects_at_once or settings.batch_objects
                )
                try:
                    return self._tracker.track(
                        partial(self._embed_frame, image_rgb_hwc),
                        (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1]),
                        state,
                        prompts or {},
                        replace(settings, batch_objects=at_once),
                    )
                except (MemoryError, RuntimeError) as error:
                    if at_once == 1 or not is_out_of_memory(error):
                        raise
                self._most_objects_at_once = at_once // 2

    def _embedding_windows(self, input_size_percent: int) -> Embed:
        """What encodes windows of a picture."""
        return lambda window_rgb_hwc, remember: self.embed(
            window_rgb_hwc, input_size_percent=input_size_percent, remember=remember
        )

    def _embed_frame(self, image_rgb_hwc: npt.NDArray[np.uint8]) -> Embedding:
        """The features of a frame; those of the last one and of cached pictures are there."""
        digest = f"{image_digest(image_rgb_hwc)}@{_WHOLE}"
        known, last = self._cache.get(digest), self._last_frame
        if known is not None:
            return known.embedding
        if last is None or last.digest != digest:
            last = embed_image(
                self.model.network,
                image_rgb_hwc,
                precision=self.model.encoder_precision,
                digest=digest,
            )
            self._last_frame = last
        return last

    @contextmanager
    def _memory_for(self, needed: str) -> Iterator[None]:
        """Tells what the memory did not suffice for."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(self.model.device, needed, _REMEDY, error) from error


def _without_steps(on_progress: OnProgress | None) -> OnProgress | None:
    """Lets work be stopped that is not done before it was done once more."""
    return on_progress and (lambda _, total: on_progress(0, total))


def _all_done(on_progress: OnProgress | None, n_points: int) -> OnProgress | None:
    """Lets work be stopped that comes after the points."""
    return on_progress and (lambda _, __: on_progress(n_points, n_points))
