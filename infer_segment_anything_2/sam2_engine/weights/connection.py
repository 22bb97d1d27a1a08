"""Who is on the other end of a request, and why it failed, in words."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from infer_segment_anything_2.errors import first_line

__all__ = ["Peer", "connect_timeout_s", "is_silent", "leads_nowhere", "peer_of", "reason_in_words"]

_NO_WAY_OUT = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH})
_LEAST_CONNECT_S = 2.0


class Peer(NamedTuple):
    """What a connection is made to: the server, or the proxy in front of it.

    Attributes:
        host: Its name or address.
        port: Its port.
        proxy_variable: The environment variable that names the proxy, "" where the system's
            settings do; None for the server itself.
    """

    host: str
    port: int
    proxy_variable: str | None = None

    def __str__(self) -> str:
        """In words, for a message; without the password that a proxy's address may hold."""
        if self.proxy_variable is None:
            return f"the server {self.host}:{self.port}"
        source = self.proxy_variable or "the system's settings"
        return f"the proxy {self.host}:{self.port} of {source}"

    @property
    def advice(self) -> str:
        """What to do when it cannot be talked to."""
        if self.proxy_variable is None:
            return "check the network and the address"
        return f"correct or unset {self.proxy_variable or 'the proxy'}"


def peer_of(url: str) -> Peer:
    """Who ``requests`` connects to for an address."""
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    if not proxy:
        return Peer(*_host_and_port(url))
    scheme = urlsplit(url).scheme
    names = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    variable = next((name for name in names if os.environ.get(name)), "")
    return Peer(*_host_and_port(proxy if "://" in proxy else f"http://{proxy}"), variable)


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:  # no number
        port = None
    return parts.hostname or url, port or (443 if parts.scheme == "https" else 80)


def connect_timeout_s(peer: Peer, patience_s: float) -> float:
    """The longest wait for a connection to each of a peer's addresses.

    They are tried one after another. Behind a firewall that answers nothing all of them are waited
    for, and a large server has a dozen.
    """
    try:
        addresses = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the request itself tells of it
        return patience_s
    return min(patience_s, max(_LEAST_CONNECT_S, patience_s / len(addresses)))


def leads_nowhere(error: BaseException) -> bool:
    """Whether a name was not resolved, or no way leads out: to try again would only take time."""
    return any(
        isinstance(cause, socket.gaierror)
        or (isinstance(cause, OSError) and cause.errno in _NO_WAY_OUT)
        for cause in _causes(error)
    )


def is_silent(error: BaseException) -> bool:
    """Whether nobody answered at all when the connection was to be made."""
    timed_out = any(isinstance(cause, TimeoutError) for cause in _causes(error))
    return isinstance(error, requests.ConnectTimeout) or (
        timed_out and isinstance(error, requests.exceptions.ProxyError)
    )


def reason_in_words(error: requests.RequestException, peer: Peer, read_s: float) -> str:
    """Says in a few words why a request failed, and what to do.

    Args:
        error: What ``requests`` raised.
        peer: Who it talked to.
        read_s: How long it waited for bytes.
    """
    causes = list(_causes(error))
    refusals = [cause for cause in causes if isinstance(cause, ssl.SSLError)]
    systems = [cause for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if leads_nowhere(error):
        return f"{peer} cannot be found or reached; {peer.advice}"
    if is_silent(error):
        return f"{peer} does not answer, a firewall may be in the way; {peer.advice}"
    if any(isinstance(cause, TimeoutError) for cause in causes) or isinstance(
        error, requests.ReadTimeout
    ):
        return f"{peer} timed out, it sent nothing for {read_s:g} s; try again later"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"{peer} refuses connections; {peer.advice}"
    if any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in causes):
        return f"{peer} broke it off; try again later"
    if refusals:
        return _refused_certificate(refusals[-1], peer)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"{peer} ended it early; try again later"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{peer} let nothing through: {first_line(causes[-1])}; {peer.advice}"
    if systems:
        return f"{peer}: {systems[-1].strerror}; {peer.advice}"
    return first_line(error)


def _refused_certificate(error: ssl.SSLError, peer: Peer) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {peer} is not trusted: {error.verify_message}; if a proxy of your "
            "own network opens connections, REQUESTS_CA_BUNDLE names the file of its certificates"
        )
    return f"no encrypted connection to {peer}: {error.reason or first_line(error)}; {peer.advice}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that led to it, the innermost last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
