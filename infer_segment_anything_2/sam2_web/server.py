"""The routes of the page: what a tab can ask, in JSON, JPEG and run lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.errors import SegmentAnythingError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_reading.parameter_rows import ParameterRow
from infer_segment_anything_2.sam2_results.painting import instance_colours
from infer_segment_anything_2.sam2_web.answering import (
    MASKS_TYPE,
    OVERVIEW_PX,
    BadRequest,
    body_of,
    box_of,
    number_of,
    parameters_of,
    run_in,
    told,
)
from infer_segment_anything_2.sam2_web.desk import Desk
from infer_segment_anything_2.sam2_web.guard import Guard, Visitors
from infer_segment_anything_2.sam2_web.texts import as_command, as_python
from infer_segment_anything_2.sam2_web.video_desk import VIDEO_SETTINGS
from infer_segment_anything_2.sam2_web.video_routes import VideoRoutes
from infer_segment_anything_2.sam2_web.wire import packed
from infer_segment_anything_2.sam2_web.workflow_file import has_ikomia

__all__ = ["make_app"]

_STATIC = Path(__file__).resolve().parent / "static"
_PALETTE = 64
_MOST_FORMATS = 20


def make_app(desk: Desk, visitors: Visitors, formats: Mapping[str, str]) -> Guard:
    """Makes the guarded ASGI application.

    Args:
        desk: Does the work.
        visitors: Who is let in.
        formats: What results can be written as: names and words.
    """
    routes = _Routes(desk, formats)
    of_videos = VideoRoutes(desk)
    app = Starlette(
        routes=[
            Route("/", _index),
            Mount("/static", StaticFiles(directory=_STATIC)),
            Route("/api/session", routes.session),
            Route("/api/pictures/{number:int}", routes.picture),
            Route("/api/pictures/{number:int}/part", routes.part),
            Route("/api/pictures/{number:int}/segment", routes.segment, methods=["POST"]),
            Route("/api/pictures/{number:int}/hint", routes.hint, methods=["POST"]),
            Route("/api/pictures/{number:int}/texts", routes.texts, methods=["POST"]),
            Route("/api/pictures/{number:int}/results", routes.results, methods=["POST"]),
            Route("/api/pictures/{number:int}/workflow", routes.workflow, methods=["POST"]),
            Route("/api/pictures/{number:int}/remembered", routes.remember, methods=["PUT"]),
            Mount("/api/videos/{number:int}", routes=of_videos.routes()),
            Route("/api/jobs/{job:str}", routes.progress),
            Route("/api/jobs/{job:str}", routes.stop, methods=["DELETE"]),
        ],
        exception_handlers={
            SegmentAnythingError: told,
            BadRequest: told,
        },
    )
    return Guard(app, visitors)


async def _index(_request: Request) -> Response:
    return Response((_STATIC / "index.html").read_bytes(), media_type="text/html")


class _Routes:
    """The handlers. Clicks and searches have a thread each, so that a search stops no click."""

    def __init__(self, desk: Desk, formats: Mapping[str, str]) -> None:
        self._desk = desk
        self._formats = formats
        self._clicks = ThreadPoolExecutor(1, thread_name_prefix="clicks")
        self._searches = ThreadPoolExecutor(1, thread_name_prefix="searches")

    async def session(self, _request: Request) -> Response:
        """What the page is about: pictures, parameters, formats; loads the network."""
        desk = self._desk
        device = await run_in(self._clicks, desk.load)
        return JSONResponse(
            {
                "version": __version__,
                "model": desk.parameters.model_path or desk.parameters.model_name,
                "device": device,
                "pictures": [
                    {"name": one.name, "done": bool(desk.remembered.of(one.name).get("done"))}
                    for one in desk.pictures
                ],
                "videos": [
                    {"name": one.name, "done": bool(desk.remembered.of(one.name).get("done"))}
                    for one in desk.videos.videos
                ],
                "videoSettings": VIDEO_SETTINGS,
                "palette": instance_colours(_PALETTE).tolist(),
                "rows": [_described(row, desk.parameters) for row in ROWS if not row.alias_of],
                "hasIkomia": has_ikomia(),
                "formats": dict(self._formats),
            }
        )

    async def picture(self, request: Request) -> Response:
        """Size and notes of a picture, and what is remembered of it."""
        number = self._number(request)
        opened = await run_in(self._clicks, partial(self._desk.picture, number))
        height, width = opened.image_rgb_hwc.shape[:2]
        name = self._desk.pictures[number].name
        return JSONResponse(
            {
                "name": name,
                "width": width,
                "height": height,
                "notes": opened.notes,
                "remembered": self._desk.remembered.of(name),
            }
        )

    async def part(self, request: Request) -> Response:
        """A part of a picture, at most so large, as JPEG."""
        jpeg = await run_in(
            self._clicks,
            partial(
                self._desk.part_jpeg,
                self._number(request),
                box_of(request),
                OVERVIEW_PX,
            ),
        )
        return Response(jpeg, media_type="image/jpeg")

    async def segment(self, request: Request) -> Response:
        """Masks of what is prompted, or of everything."""
        body, number = await body_of(request), self._number(request)
        given, job = parameters_of(body), str(body.get("job", ""))
        thread = self._clicks if given.get("input_objects") else self._searches
        run = partial(self._desk.segment, number, given, job)
        found, took_ms = await run_in(thread, run)
        return Response(
            await run_in(thread, partial(packed, found, took_ms)), media_type=MASKS_TYPE
        )

    async def hint(self, request: Request) -> Response:
        """What to change where everything mode shows nothing; empty where that is not so."""
        body, number = await body_of(request), self._number(request)
        run = partial(self._desk.hint, number, parameters_of(body))
        hint = await run_in(self._searches, run)
        if hint is None:
            return JSONResponse({})
        return JSONResponse({"words": hint.words, "values": dict(hint.values)})

    async def texts(self, request: Request) -> Response:
        """The run as Python and as a command."""
        body = await body_of(request)
        parameters = self._desk.read(parameters_of(body))
        path = self._desk.pictures[self._number(request)].path
        outputs = [int(rank) for rank in body.get("outputs", ())]
        return JSONResponse(
            {
                "python": as_python(parameters, path, outputs),
                "command": as_command(parameters, path),
            }
        )

    async def results(self, request: Request) -> Response:
        """Writes the results of a run into the folder that the page was started with."""
        body, number = await body_of(request), self._number(request)
        formats = self._known_formats(body.get("formats", ()))
        names = await run_in(
            self._searches,
            partial(
                self._desk.write, number, parameters_of(body), formats, str(body.get("job", ""))
            ),
        )
        return JSONResponse({"written": names})

    async def workflow(self, request: Request) -> Response:
        """Writes the run as a workflow file into that folder."""
        body, picture = await body_of(request), self._desk.pictures[self._number(request)]
        parameters = self._desk.read(parameters_of(body))
        write = partial(self._desk.write_workflow, picture.result_name, parameters)
        return JSONResponse({"written": [await run_in(self._searches, write)]})

    async def remember(self, request: Request) -> Response:
        """Keeps what the page holds of a picture."""
        body = await body_of(request)
        name = self._desk.pictures[self._number(request)].name
        await run_in(self._clicks, partial(self._desk.remembered.keep, name, body))
        return JSONResponse({})

    async def progress(self, request: Request) -> Response:
        """How far a run is."""
        stage, done, total = self._desk.jobs.progress(request.path_params["job"])
        return JSONResponse({"stage": stage, "done": done, "total": total})

    async def stop(self, request: Request) -> Response:
        """Ends a run between two of its steps."""
        self._desk.jobs.stop(request.path_params["job"])
        return JSONResponse({})

    def _number(self, request: Request) -> int:
        return number_of(request, len(self._desk.pictures), "pictures")

    def _known_formats(self, named: object) -> list[str]:
        names = named if isinstance(named, list) else []
        known = [name for name in names[:_MOST_FORMATS] if name in self._formats]
        if not known or len(known) < len(names):
            raise BadRequest(f"The formats are {', '.join(self._formats)}, got {names!r}.")
        return known


def _described(row: ParameterRow, parameters: Parameters) -> dict[str, Any]:
    """A parameter as the page shows it."""
    return {
        "key": row.key,
        "kind": row.kind,
        "group": row.group,
        "label": row.label,
        "help": row.help,
        "choices": row.choices,
        "minimum": row.minimum if math.isfinite(row.minimum) else None,
        "maximum": row.maximum if math.isfinite(row.maximum) else None,
        "default": row.default,
        "value": parameters.value_of(row.key),
        "given": row.key in parameters.given,
    }
