"""The page that shows a developer why a handler failed: source, values, and the request.

It is one file that loads nothing. Its one script copies the plain text; all that it shows is
escaped, and its Content-Security-Policy runs nothing else.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

from ..errors import HTTPError
from ..journal import UNIX_CLIENT
from ..protocol.response import reason_phrase
from .failure import FIRST_FRAMES, Failure, Frame, SourceLine
from .masking import HIDDEN, Mask, is_secret, mask_named, mask_query
from .response import Response

if TYPE_CHECKING:
    from .request import Request

_STYLE = """
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#5f6670;--back:#fff;--panel:#f5f6f8;
--edge:#d9dce1;--bad:#b3261e;--mark:#fde7c7;--link:#0b57d0}
@media (prefers-color-scheme:dark){:root{--ink:#e4e6ea;--soft:#9aa2ad;--back:#16181c;
--panel:#1f2227;--edge:#363b43;--bad:#ff8a80;--mark:#4a3615;--link:#8ab4f8}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{margin:.2rem 0;font-size:1.6rem;line-height:1.25;color:var(--bad);overflow-wrap:anywhere}
h2{margin:2.2rem 0 .6rem;font-size:1.15rem}
h3{margin:1.8rem 0 .4rem;font-size:1.05rem;color:var(--bad);overflow-wrap:anywhere}
p{margin:.4rem 0}
.lead{margin-top:2rem}
.lead+h3{margin-top:0}
.soft{color:var(--soft)}
.group{margin-left:.3rem;padding-left:1rem;border-left:3px solid var(--edge)}
pre,code,textarea,td,.where{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
pre.says{font-size:15px}
details{margin:.4rem 0;border:1px solid var(--edge);border-radius:6px;background:var(--panel)}
summary{padding:.45rem .7rem;cursor:pointer;overflow-wrap:anywhere}
summary:hover{color:var(--link)}
details details{margin:.5rem .7rem .7rem;background:var(--back)}
summary code{display:block;padding-left:1.05rem;overflow:hidden;text-overflow:ellipsis;
white-space:nowrap;color:var(--soft)}
details[open]>summary code{display:none}
.source{overflow-x:auto;border-top:1px solid var(--edge);background:var(--back)}
.source pre{display:table;min-width:100%;white-space:pre;padding:.4rem 0}
.source span{display:block;padding:0 .8rem}
.source span i{display:inline-block;min-width:3em;margin-right:1.2em;text-align:right;
font-style:normal;color:var(--soft);user-select:none}
.source .here{background:var(--mark)}
.note{padding:.3rem .7rem;color:var(--soft)}
table{width:100%;border-collapse:collapse}
th,td{padding:.25rem .7rem;border-top:1px solid var(--edge);text-align:left;vertical-align:top;
overflow-wrap:anywhere}
th{width:13rem;font-weight:600;font-size:13px}
textarea{display:block;width:100%;height:24rem;padding:.6rem;border:0;
border-top:1px solid var(--edge);background:var(--back);color:var(--ink);resize:vertical}
button{float:right;margin:.2rem 0 0 1rem;padding:.4rem .8rem;border:1px solid var(--edge);
border-radius:6px;background:var(--panel);color:var(--ink);font:inherit;cursor:pointer}
@media (max-width:40rem){main{padding:1rem .6rem 3rem}th,td{display:block;width:auto}
td{border-top:0;padding-top:0}h1{font-size:1.3rem}}
"""

_SCRIPT = """
const button = document.querySelector("button"), text = document.querySelector("textarea");
button.hidden = false;
button.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(text.value.replace(/^Traceback:\\n/, ""));
    button.textContent = "Copied";
  } catch {
    text.closest("details").open = true;
    text.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  }
});
"""

#: Most fields, of a head or a form, that are shown; characters of the value of one.
_MOST_FIELDS = 100
_WIDTH = 1000


def _hash(content: str) -> str:
    return b64encode(sha256(content.encode()).digest()).decode("ascii")


_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_hash(_STYLE)}'; script-src 'sha256-{_hash(_SCRIPT)}'"
    "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def debug_page(request: Request, failures: list[Failure], trace: str, mask: Mask) -> Response:
    """Return the page.

    The vendor's client looks for a line ``Traceback:`` and reads up to ``</textarea>``; so that
    stands before all that may hold such a line, too.

    Args:
        request: The request that is answered.
        failures: What went wrong, and what led to it.
        trace: The same as a text.
        mask: What is not shown.
    """
    first = failures[0]
    title = escape(f"{first.kind} at {request_line(request, mask)}")
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body><main>\n{_top(request, mask, first)}\n"
        "<details><summary>The traceback as text</summary>"
        '<textarea readonly spellcheck="false" aria-label="Traceback">\n'
        f"Traceback:\n{escape(trace)}\n</textarea></details>\n"
        f"<h2>Where</h2>\n{_chain(failures)}\n{_request(request, mask)}\n"
        '<p class="soft">This page is shown in debug mode, and to this machine alone. Source is '
        f"read from the disk now. Python {escape(sys.version.split()[0])}, {escape(sys.platform)}."
        f"</p>\n</main><script>{_SCRIPT}</script></body>\n</html>\n"
    )
    response = Response(page.encode("utf-8", "replace"), 500)
    response.setHeader("Content-Security-Policy", _POLICY)
    response.setHeader("X-Content-Type-Options", "nosniff")
    response.setHeader("Cache-Control", "no-store")
    return response


def request_line(request: Request, mask: Mask) -> str:
    """Return the method and the target of a request, without secrets."""
    path, _, query = request.pathWithQueryString().partition("?")
    return mask.text(f"{request.method()} {path}" + (f"?{mask_query(query)}" if query else ""))


def _top(request: Request, mask: Mask, failure: Failure) -> str:
    return (
        '<button type="button" hidden>Copy the traceback</button>\n'
        f'<p class="soft">500 {reason_phrase(500)}, for <code>'
        f"{escape(request_line(request, mask))}</code></p>\n"
        f"<h1>{escape(failure.kind)}</h1>\n{_message(failure)}"
    )


def _message(failure: Failure) -> str:
    return f'<pre class="says">{escape(failure.message)}</pre>' if failure.message else ""


# --- what went wrong ---


def _chain(failures: list[Failure]) -> str:
    """Return the frames of an exception and, below them, what led to it."""
    return "\n".join(
        (f"{_heading(failure)}\n" if failure.lead else "") + _body(failure) for failure in failures
    )


def _heading(failure: Failure) -> str:
    lead = f'<p class="lead soft">{failure.lead}</p>\n' if failure.lead else ""
    return f"{lead}<h3>{escape(failure.kind)}</h3>\n{_message(failure)}"


def _body(failure: Failure) -> str:
    frames = failure.frames
    own = [index for index, frame in enumerate(frames) if not frame.ours]
    opened = own[-1] if own else len(frames) - 1
    shown = [_frame(frame, index == opened) for index, frame in enumerate(frames)]
    if failure.left_out:
        gap = f'<p class="soft">{failure.left_out} calls between these are left out.</p>'
        shown.insert(FIRST_FRAMES, gap)
    shown.reverse()  # The place of the failure comes first.
    members = [
        f'<div class="group">{_heading(chain[0])}\n{_chain(chain)}</div>'
        for chain in failure.members
    ]
    return "\n".join(shown + members)


def _frame(frame: Frame, opened: bool) -> str:
    place = f"{escape(frame.file)}:{frame.line}" if frame.line else escape(frame.file)
    name = f"<strong>{escape(frame.function)}</strong> " if frame.function else ""
    server = ' <span class="soft">(the server)</span>' if frame.ours else ""
    here = next((one.text.strip() for one in frame.source if one.number == frame.line), "")
    code = f"<code>{escape(here)}</code>" if here else ""
    return (
        f"<details{' open' if opened else ''}><summary>{name}"
        f'<span class="where">{place}</span>{server}{code}</summary>'
        f"{_source(frame)}{_values(frame, opened)}</details>"
    )


def _source(frame: Frame) -> str:
    if not frame.source:
        return '<p class="note">There is no source to show.</p>'
    note = ""
    if frame.changed:
        note = (
            '<p class="note">This file has changed since: these may not be the lines that ran.</p>'
        )
    lines = "".join(_line(line, line.number == frame.line) for line in frame.source)
    return f'{note}<div class="source"><pre>{lines}</pre></div>'


def _line(line: SourceLine, here: bool) -> str:
    mark = ' class="here"' if here else ""
    return f"<span{mark}><i>{line.number}</i>{escape(line.text) or ' '}</span>"


def _values(frame: Frame, opened: bool) -> str:
    if not frame.values:
        return ""
    late = "(not shown: what came before it took too long)"
    rows = [(value.name, late if value.text is None else value.text) for value in frame.values]
    return f"<details{' open' if opened else ''}><summary>Values</summary>{_table(rows)}</details>"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<table>{''.join(cells)}</table>"


# --- what was asked for ---


def _request(request: Request, mask: Mask) -> str:
    """Return the request: its line, fields and forms, and where it came from."""
    parts = [
        ("The request", lambda: _basics(request, mask)),
        ("Header fields", lambda: _fields(request.head.fields, mask)),
        ("Query", lambda: _form(_pairs(request.GET(), request.GETList), mask)),
        ("Form", lambda: _form(_pairs(request.POST(), request.POSTList), mask)),
        ("Files", lambda: _files(request, mask)),
    ]
    return "\n".join(filter(None, (_part(title, rows) for title, rows in parts)))


def _part(title: str, rows: Callable[[], Iterator[tuple[str, str]]]) -> str:
    try:
        found = list(rows())
    except (HTTPError, OSError, ValueError) as error:  # A form may be too large, or none at all.
        found = [("(unreadable)", str(error))]
    return f"<h2>{title}</h2>\n{_table(found)}" if found else ""


def _basics(request: Request, mask: Mask) -> Iterator[tuple[str, str]]:
    yield "Line", f"{request_line(request, mask)} {request.protocol()}"
    address, port = request.clientAddress()
    yield "From", f"{address} port {port}" if address else UNIX_CLIENT.rstrip(":")
    yield "To", f"port {request.port()} ({request.portName()}), {request.scheme()}"
    if request.known_id:
        yield "Id", request.known_id
    for name, value in request.pathParameters().items():
        yield f"{{{name}}}", HIDDEN if is_secret(name) else mask.text(str(value))[:_WIDTH]


def _fields(fields: Iterable[tuple[str, str]], mask: Mask) -> Iterator[tuple[str, str]]:
    for name, value in _first(fields):
        text = HIDDEN if is_secret(name) else mask_named(mask.text(value)[:_WIDTH])
        yield name, text


def _form(pairs: Iterable[tuple[str, str]], mask: Mask) -> Iterator[tuple[str, str]]:
    for name, value in _first(pairs):
        text = HIDDEN if is_secret(name) else mask_named(mask.text(value)[:_WIDTH])
        yield mask.text(name)[:_WIDTH], text


def _pairs(names: Iterable[str], values: Callable[[str], list[str]]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name in names for value in values(name))


def _files(request: Request, mask: Mask) -> Iterator[tuple[str, str]]:
    for name, file in request.files().items():
        yield mask.text(name)[:_WIDTH], mask.text(f"{file.name()}, {file.size()} bytes")[:_WIDTH]


def _first(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for index, pair in enumerate(pairs):
        if index == _MOST_FIELDS:
            yield "…", "(and more)"
            return
        yield pair
