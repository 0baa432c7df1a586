"""A file on a web server: asked for by ranges, through proxies, redirects and confirmations."""

from __future__ import annotations

import email.utils
import http.client
import http.cookiejar
import math
import socket
import ssl
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from pipeline.network import google_drive
from pipeline.network.origin import Failed, Interrupted, Remote, public

CONNECT_SECONDS = 20.0
STALL_SECONDS = 60.0
_MAX_RETRY_AFTER_SECONDS = 600.0
_READ_BYTES = 1 << 17
_MAX_PAGE_BYTES = 1 << 20
_MAX_CONFIRMATIONS = 3
_MAX_WHOLE = 3  # answers in a row; fewer may be those of one node behind a balancer
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_PAGE_STARTS = (b"<!doctype html", b"<html")
_WHOLE = "the server gave the whole file instead of a range"
_CROWDED, _TEMPORARY = (429, 503), (408, 425, 429)


class WebOrigin:
    """An http or https URL; an `Origin`.

    The variables http_proxy, https_proxy and no_proxy are honoured. Redirects are followed, ten
    at most, to these two schemes only, and not from https to http.
    """

    def __init__(self, url: str):
        self.name = url
        self._url = url  # after confirmations, which differ from day to day
        self._promises_ranges = False
        self._num_whole = 0  # answers in a row that gave the whole file instead of a range
        self._cookies = http.cookiejar.CookieJar()
        self._sockets = _Sockets()
        self._opener = _opener(self._cookies, self._sockets)

    def describe(self) -> Remote:
        """Asks for the first byte: only an answer shows whether the server knows ranges."""
        url = self.name
        for _ in range(_MAX_CONFIRMATIONS):
            with self._open_first_byte(url) as response:
                if not _is_page(response):
                    self._url = url
                    return self._checked(_remote(response))
                with _network():
                    page = response.read(_MAX_PAGE_BYTES)
                url = google_drive.confirmed(response.url, page, self._cookies)
        raise Failed(f"{public(self.name)} asks for one confirmation after another")

    @contextmanager
    def read(self, remote: Remote, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
        headers = {}
        if remote.can_resume:
            assert end is not None
            headers["Range"] = f"bytes={start}-{end - 1}"
            if validator := _strong_validator(remote):
                headers["If-Range"] = validator
        with self._open(self._url, headers) as response:
            _check_version(response, remote)
            if remote.can_resume:
                self._check_range(response, start)
            yield _chunks(response, start, end)

    def interrupt(self) -> None:
        self._sockets.shut_down()

    def _checked(self, remote: Remote) -> Remote:
        """Believes neither a first byte if ranges are refused, nor one refusal after a promise."""
        if self._promises_ranges and not remote.can_resume:
            self._num_whole += 1
            if self._num_whole < _MAX_WHOLE:
                raise Interrupted(_WHOLE)
        self._promises_ranges |= remote.can_resume
        return replace(remote, can_resume=remote.can_resume and self._num_whole < _MAX_WHOLE)

    def _check_range(self, response: Any, start: int) -> None:
        if response.status != 206:
            self._num_whole += 1
            raise Interrupted(_WHOLE)
        self._num_whole = 0
        given = (response.headers.get("Content-Range") or "").removeprefix("bytes ")
        if given.partition("-")[0].strip() != str(start):
            raise Interrupted(f"the server gave the range {given} instead of that from {start}")

    def _open_first_byte(self, url: str) -> Any:
        try:
            return self._open(url, {"Range": "bytes=0-0"})
        except _NoSuchRange:
            return self._open(url, {})  # empty, or a server with an odd mind about ranges

    def _open(self, url: str, headers: dict[str, str]) -> Any:
        # Some hosts refuse Python's own name.
        request = urllib.request.Request(url, headers={"User-Agent": "stochos", **headers})
        with _network():
            return self._opener.open(request, timeout=CONNECT_SECONDS)


class _NoSuchRange(Interrupted):
    """Status 416."""


class _Sockets:
    """Those that are open: urllib does not give them away, and only they can end a read."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = Lock()

    def add(self, connected: socket.socket) -> None:
        with self._lock:
            self._open.add(connected)

    def shut_down(self) -> None:
        with self._lock:
            for connected in self._open:
                with suppress(OSError):  # it is closed already
                    connected.shutdown(socket.SHUT_RDWR)


class _Connecting:
    """What makes a connection's socket known, and gives it patience once it is connected."""

    def __init__(self, sockets: _Sockets, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._sockets = sockets

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock: socket.socket
        self.sock.settimeout(STALL_SECONDS)
        self._sockets.add(self.sock)


class _Connection(_Connecting, http.client.HTTPConnection):
    pass


class _TlsConnection(_Connecting, http.client.HTTPSConnection):
    pass


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request: urllib.request.Request, *answer: Any) -> Any:
        new_url = answer[-1]
        if request.type == "https" and urlsplit(new_url).scheme != "https":
            raise Failed(f"it leads from https to {public(new_url)}, which nobody vouches for")
        return super().redirect_request(request, *answer)


def _opener(cookies: http.cookiejar.CookieJar, sockets: _Sockets) -> urllib.request.OpenerDirector:
    """Like urllib's own, without ftp, file and data: a redirect may lead to the web only."""
    secure = partial(_TlsConnection, sockets, context=ssl.create_default_context())
    plain: Any = partial(_Connection, sockets)

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(plain, request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(secure, request)

    opener = urllib.request.OpenerDirector()
    for handler in (
        *(Http(), Https(), urllib.request.ProxyHandler(), urllib.request.UnknownHandler()),
        *(_Redirects(), urllib.request.HTTPCookieProcessor(cookies)),
        *(urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler()),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _network() -> Iterator[None]:
    """What goes wrong on the way, as Failed or Interrupted."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise _of_status(error) from None
    except urllib.error.URLError as error:
        raise _of_reason(error.reason) from None
    except (http.client.InvalidURL, UnicodeError):  # its text may show a password
        raise Failed("not a URL: a host, a port, no password, no space, all in ASCII") from None
    except (OSError, http.client.HTTPException) as error:
        raise _of_reason(error) from None


def _of_status(error: urllib.error.HTTPError) -> Exception:
    words = f"HTTP {error.code} {error.reason}".strip()
    if error.code == 416:
        return _NoSuchRange(words)
    if error.code >= 500 or error.code in _TEMPORARY:
        wait = _retry_after_seconds(error.headers.get("Retry-After"))
        return Interrupted(words, wait, is_crowded=error.code in _CROWDED)
    if google_drive.is_there(error.url or "") and _is_page(error):
        with suppress(OSError, http.client.HTTPException):  # then the status must do
            words = google_drive.refusal(error.read(_MAX_PAGE_BYTES)) or words
    return Failed(words)


def _of_reason(reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Failed(f"its certificate is not valid: {reason.verify_message}")
    if isinstance(reason, OSError | http.client.HTTPException):
        words = "nothing came in time" if isinstance(reason, TimeoutError) else str(reason)
        return Interrupted(words or type(reason).__name__)
    return Failed(str(reason))


def _retry_after_seconds(header: str | None) -> float | None:
    """Seconds from the header Retry-After, a number or a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)


def _remote(response: Any) -> Remote:
    headers = response.headers
    num_bytes = _total(headers) if response.status == 206 else _length(headers)
    can_resume = response.status == 206 and num_bytes is not None
    return Remote(num_bytes, headers.get("ETag"), headers.get("Last-Modified"), can_resume)


def _total(headers: Any) -> int | None:
    """N of "Content-Range: bytes 0-0/N"."""
    total = (headers.get("Content-Range") or "").rpartition("/")[2].strip()
    return int(total) if total.isascii() and total.isdigit() else None


def _length(headers: Any) -> int | None:
    length = headers.get("Content-Length") or ""
    return int(length) if length.isascii() and length.isdigit() else None


def _strong_validator(remote: Remote) -> str | None:
    """What If-Range may carry: no weak ETag (RFC 9110, section 13.1.5)."""
    if remote.etag and not remote.etag.startswith("W/"):
        return remote.etag
    return remote.last_modified


def _check_version(response: Any, remote: Remote) -> None:
    """Raises Interrupted if it is not of the file that was described."""
    if _is_page(response):
        raise Failed(google_drive.PAGE_INSTEAD)
    if not _remote(response).is_same_file(remote):
        raise Interrupted("the file changed at its source")


def _chunks(response: Any, start: int, end: int | None) -> Iterator[bytes]:
    """What comes in, as it comes in; without a known end, the connection's end is the file's."""
    position = start
    while end is None or position < end:
        num_wanted = _READ_BYTES if end is None else min(_READ_BYTES, end - position)
        with _network():
            chunk = response.read1(num_wanted)
        if not chunk:
            break
        if position == 0 and chunk[:64].lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(
            _PAGE_STARTS
        ):
            raise Failed(google_drive.PAGE_INSTEAD)
        position += len(chunk)
        yield chunk
    if end is not None and position < end:
        raise Interrupted(f"the connection ended {end - position} bytes early")


def _is_page(response: Any) -> bool:
    return response.headers.get_content_type() in _PAGE_TYPES
