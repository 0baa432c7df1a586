"""The Markdown that the data cards are written in, as HTML; all else in them stays text.

Headings, lists, tables, paragraphs, **bold**, `code` and bare http(s) addresses. No raw HTML: what
looks like a tag is shown as it is written.
"""

from __future__ import annotations

import itertools
import re

from markupsafe import Markup, escape

_INLINE = re.compile(r"\*\*(?P<bold>.+?)\*\*|`(?P<code>[^`]+)`|(?P<link>https?://[^\s<>\"|]+)")
_RULE = re.compile(r"\|[\s:|-]+\|")


def render(text: str, level: int = 1) -> Markup:
    """Markdown as HTML.

    Args:
      text: any; what is not of the subset comes out as paragraphs of plain text.
      level: that a "#" heading gets, 1..6.

    Example:
      >>> render("- **Source**: <demo>")
      Markup('<ul><li><strong>Source</strong>: &lt;demo&gt;</li></ul>')
    """
    blocks = []
    for kind, group in itertools.groupby(text.splitlines(), _kind):
        lines = [line.strip() for line in group]
        if kind == "heading":
            blocks += [_heading(line, level) for line in lines]
        elif kind == "list":
            items = [_wrapped("li", _inline(line[2:])) for line in lines]
            blocks.append(_wrapped("ul", Markup("").join(items)))
        elif kind == "table":
            blocks.append(_table(lines))
        elif kind == "paragraph":
            blocks.append(_wrapped("p", _inline(" ".join(lines))))
    return Markup("\n").join(blocks)


def _kind(line: str) -> str:
    line = line.strip()
    if not line:
        return "blank"
    if re.match(r"#{1,6} ", line):
        return "heading"
    if line.startswith("- "):
        return "list"
    return "table" if line.startswith("|") and line.endswith("|") else "paragraph"


def _heading(line: str, level: int) -> Markup:
    marks, _, title = line.partition(" ")
    return _wrapped(f"h{min(level + len(marks) - 1, 6)}", _inline(title))


def _table(lines: list[str]) -> Markup:
    head, *body = [_cells(line) for line in lines if not _RULE.fullmatch(line)] or [[]]
    columns = [Markup('<th scope="col">{}</th>').format(cell) for cell in head]
    rows = [Markup("").join(_wrapped("td", cell) for cell in row) for row in body]
    inner = _wrapped("thead", _wrapped("tr", Markup("").join(columns)))
    inner += _wrapped("tbody", Markup("").join(_wrapped("tr", row) for row in rows))
    return Markup('<div class="scroll" tabindex="0">{}</div>').format(_wrapped("table", inner))


def _cells(line: str) -> list[Markup]:
    return [_inline(cell.strip()) for cell in line[1:-1].split("|")]


def _inline(text: str) -> Markup:
    parts, done = [], 0
    for match in _INLINE.finditer(text):
        parts += [escape(text[done : match.start()]), _marked(match)]
        done = match.end()
    return Markup("").join([*parts, escape(text[done:])])


def _marked(match: re.Match[str]) -> Markup:
    if match["bold"]:
        return _wrapped("strong", escape(match["bold"]))
    if match["code"]:
        return _wrapped("code", escape(match["code"]))
    return Markup('<a href="{0}">{0}</a>').format(match["link"])


def _wrapped(tag: str, content: Markup) -> Markup:
    return Markup("<{0}>{1}</{0}>").format(Markup(tag), content)
