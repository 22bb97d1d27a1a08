"""Who may talk to the page's server: the browser tab that was opened with the token, nobody else.

A page of another site can make the browser send requests here. So each request must name this
server as its host (against DNS rebinding), come from no other origin, and, where pictures or
results are concerned, carry the token, which no other page can read. There are no cookies.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["TOKEN_HEADER", "Guard", "Visitors", "new_token"]

TOKEN_HEADER = "x-page-token"
_GUARDED = "/api/"
_MOST_BODY_BYTES = 16 * 2**20
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def new_token() -> str:
    """A token that nobody guesses: 32 random bytes."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Visitors:
    """Who is let in.

    Attributes:
        token: What the tab was given in the fragment of its address.
        hosts: The "name:port" pairs by which this server may be called.
    """

    token: str
    hosts: Collection[str]


class Guard:
    """ASGI middleware that turns away what is not the page itself.

    Args:
        app: What is guarded.
        visitors: Who is let in.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self._app = app
        self._visitors = visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes on, one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        refused = self._refusal(scope["path"], headers)
        if refused is not None:
            await _refuse(send, *refused)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_encoded(_HEADERS)]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _refusal(self, path: str, headers: dict[str, str]) -> tuple[HTTPStatus, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._visitors.hosts:
            return HTTPStatus.BAD_REQUEST, "This server is called by another name."
        if origin is not None and origin != f"http://{host}":
            return HTTPStatus.FORBIDDEN, "The page of another site may not ask this server."
        if path.startswith(_GUARDED):
            given = headers.get(TOKEN_HEADER, "")
            if not secrets.compare_digest(given.encode(), self._visitors.token.encode()):
                return HTTPStatus.UNAUTHORIZED, "Open the page by the address that was printed."
        length = headers.get("content-length", "0")
        chunked = "transfer-encoding" in headers
        if chunked or not length.isdigit() or int(length) > _MOST_BODY_BYTES:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large."
        return None


async def _refuse(send: Send, status: HTTPStatus, reason: str) -> None:
    headers = {**_HEADERS, "content-type": "application/json"}
    await send({"type": "http.response.start", "status": int(status), "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": json.dumps({"error": reason}).encode()})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), text.encode()) for name, text in headers.items()]
