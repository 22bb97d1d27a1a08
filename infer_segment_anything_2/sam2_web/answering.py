"""What the routes share: bodies of requests, threads, errors in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infer_segment_anything_2.errors import CancelledError

__all__ = [
    "MASKS_TYPE",
    "OVERVIEW_PX",
    "BadRequest",
    "body_of",
    "box_of",
    "number_of",
    "parameters_of",
    "run_in",
    "told",
]

OVERVIEW_PX = 2048
"""The longer side of a picture, or a part of one, that is sent."""

MASKS_TYPE = "application/octet-stream"
"""The media type of what :func:`.wire.packed` writes."""

Answer = TypeVar("Answer")


class BadRequest(Exception):  # noqa: N818 - an answer, not a fault of ours
    """The request is not one that the page makes."""


async def told(_request: Request, error: Exception) -> Response:
    """An error in words, with the parameter that it is about."""
    if isinstance(error, CancelledError):
        return JSONResponse({"error": str(error), "stopped": True}, HTTPStatus.CONFLICT)
    key = getattr(error, "key", "")
    return JSONResponse({"error": str(error), "key": key}, HTTPStatus.UNPROCESSABLE_ENTITY)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadRequest("The request must be a JSON object.")
    return body


def parameters_of(body: Mapping[str, Any]) -> dict[str, object]:
    """The parameters in a body; none where it has none."""
    given = body.get("parameters", {})
    if not isinstance(given, dict):
        raise BadRequest("parameters must be a JSON object.")
    return given


def box_of(request: Request) -> tuple[int, int, int, int]:
    """The part of a picture that is asked for."""
    try:
        left, top, right, bottom = map(int, request.query_params["box"].split(","))
    except (KeyError, ValueError):
        raise BadRequest("The part of a picture is box=left,top,right,bottom.") from None
    return left, top, right, bottom


def number_of(request: Request, count: int, things: str) -> int:
    """Which of so many things a request is about, such as "pictures"."""
    number: int = request.path_params["number"]
    if number >= count:
        raise BadRequest(f"There are {count} {things}, got {number}.")
    return number


async def run_in(pool: ThreadPoolExecutor, work: Callable[[], Answer]) -> Answer:
    """Runs work in a thread, so that the server answers others meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(pool, work)
