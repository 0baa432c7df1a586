"""Google Drive's web pages that stand between a link and its file."""

from __future__ import annotations

import http.cookiejar
import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from pipeline.network.origin import Failed

HOSTS = ("google.com", "googleusercontent.com")
PAGE_INSTEAD = (
    "a web page came instead of the file; fetch it by hand in a browser, and name its directory "
    "as the source"
)
_QUOTA = re.compile(r"quota exceeded|too many users have (viewed|downloaded)", re.I)


def is_there(url: str) -> bool:
    """Whether a URL is on one of Google's hosts."""
    host = urlsplit(url).hostname or ""
    return any(host == known or host.endswith(f".{known}") for known in HOSTS)


def confirmed(url: str, page: bytes, cookies: http.cookiejar.CookieJar) -> str:
    """The URL behind the page that says that the file is too large for a scan.

    Three shapes were published: a form with hidden inputs; a link with `confirm=`; the token in a
    cookie whose name starts with download_warning.

    Args:
      url: of the page, after redirects.
      page: its HTML.
      cookies: of the host.

    Raises:
      Failed: it is no such page: over its quota, private, or of another host altogether.
    """
    if not is_there(url):
        raise Failed(PAGE_INSTEAD)
    parsed = _Page(page)
    tokens = [cookie.value for cookie in cookies if cookie.name.startswith("download_warning")]
    if parsed.action:
        found = _with_query(urljoin(url, parsed.action), parsed.inputs)
    elif parsed.link:
        found = urljoin(url, parsed.link)
    elif tokens:
        found = _with_query(url, {"confirm": tokens[0] or "t"})
    else:
        raise Failed(refusal(page) or PAGE_INSTEAD)
    if urlsplit(found).scheme not in ("http", "https") or not is_there(found):
        raise Failed(f"the confirmation page leads to {urlsplit(found).netloc or found}")
    return found


def refusal(page: bytes) -> str | None:
    """Why Google Drive gives no file, in a sentence; None for a page that does not say it."""
    text = page.decode("utf-8", "replace")
    if _QUOTA.search(text):
        return (
            "Google Drive's quota for this file is used up for today; try again in 24 hours, or "
            "copy it into your own Drive, fetch it there, and name its directory as the source"
        )
    if "ServiceLogin" in text or "accounts.google.com" in text:
        return "Google Drive asks to sign in: the file is no longer shared with everyone"
    return None


class _Page(HTMLParser):
    """The first form or link of a page that leads to a download."""

    def __init__(self, page: bytes):
        super().__init__()
        self.action = self.link = ""
        self.inputs: dict[str, str] = {}
        self._is_inside = False
        self.feed(page.decode("utf-8", "replace"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.action:
            action = values.get("action", "")
            if values.get("id") == "download-form" or _is_download(action):
                self.action, self._is_inside = action, True
        elif tag == "input" and self._is_inside and values.get("type") == "hidden":
            self.inputs[values.get("name", "")] = values.get("value", "")
        elif tag == "a" and not self.link and "confirm" in _query(values.get("href", "")):
            self.link = values["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_inside = False


def _is_download(action: str) -> bool:
    return urlsplit(action).path.rstrip("/").endswith(("/download", "/uc"))


def _query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _with_query(url: str, values: dict[str, str]) -> str:
    return urlunsplit(urlsplit(url)._replace(query=urlencode({**_query(url), **values})))
