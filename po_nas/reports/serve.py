"""A page on this machine that follows runs: their curves side by side, and the page of each."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from po_nas._version import __version__
from po_nas.errors import PoNasError
from po_nas.reports.live import FollowedRun, RunFollower
from po_nas.reports.page import STYLE, render_page
from po_nas.runtime.escaping import html_text

__all__ = ["ADDRESS", "RunServer"]

ADDRESS = "127.0.0.1"
"""The one address that is served: that of this machine, which no other one reaches."""

_SCRIPT = (Path(__file__).parent / "live.js").read_bytes()
_STYLE = (
    STYLE
    + """
main{max-width:80rem}
.chart svg{width:100%;height:auto;display:block;background:#fff}
.chart text{font:12px system-ui,sans-serif;fill:var(--dim)}
.bar{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;align-items:center}
button{font:inherit;font-size:.9rem;padding:.25rem .7rem;border:1px solid var(--line);border-radius:.4rem;
background:#fff;color:inherit;cursor:pointer}
button[aria-pressed=true]{background:var(--ink);color:#fff}
.runs{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));gap:1rem;margin:1rem 0}
.run{border:1px solid var(--line);border-left:5px solid;border-radius:.5rem;padding:.8rem 1rem;min-width:0}
.run h3{margin:0;font-size:1rem;overflow-wrap:anywhere}
.run progress{width:100%;height:.6rem}
.run dl{display:grid;grid-template-columns:auto 1fr;gap:.1rem .8rem;margin:.5rem 0;font-variant-numeric:tabular-nums}
.run dt{color:var(--dim)}.run dd{margin:0;overflow-wrap:anywhere}
.run table{font-size:.84rem}.run td{overflow-wrap:anywhere}
.state{font-size:.85rem;padding:.05rem .5rem;border-radius:1rem;background:var(--soft)}
.running{background:#d9f2e6}.stopped{background:#fff0d6}.damaged{background:#fde0dc}
a{color:#0b5a92}
"""
)
_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class RunServer:
    """Serves the page of some runs on this machine; `serve` until it is interrupted, or `start` in a thread.

    Nothing is written, no code of plug-ins is run, and requests that name another host are refused, so that no page of
    the web can ask for the runs.

    Args:
        follower: Which runs.
        port: A free port; 0: any.

    Raises:
        OSError: When the port is taken.

    Attributes:
        url: Where the page is.
    """

    def __init__(self, follower: RunFollower, port: int = 0) -> None:
        self._follower = follower
        self._lock = threading.Lock()
        self._pages: dict[str, tuple[object, str]] = {}
        self._server = _Server((ADDRESS, port), _Handler)
        self._server.runs = self
        self.url = f"http://{ADDRESS}:{self._server.server_port}/"

    def serve(self) -> None:
        """Answer until `close`, or an interrupt."""
        self._server.serve_forever(poll_interval=0.2)

    def start(self) -> None:
        """Answer in a thread, until `close`."""
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self) -> None:
        """Stop; after `start` alone."""
        self._server.shutdown()
        self._server.server_close()

    def states(self) -> list[dict[str, Any]]:
        """What the page shows of each run."""
        with self._lock:
            return [_state(place, run) for place, run in enumerate(self._follower.look())]

    def page(self, key: str) -> str | None:
        """The whole page of a run as it is now; None where there is no such run."""
        with self._lock:
            runs = self._follower.look()
            if not (key.isascii() and key.isdecimal()) or int(key) >= len(runs):
                return None
            run = runs[int(key)]
            version, kept = run.version(), self._pages.get(run.name)
            if kept is None or kept[0] != version:
                try:
                    kept = version, render_page(run.read())
                except PoNasError as error:
                    return _document(run.name, f"<p>{html_text(error)}</p>")
                self._pages[run.name] = kept
            return kept[1]


def _state(place: int, run: FollowedRun) -> dict[str, Any]:
    try:
        return {"id": place, **run.now().to_json()}
    except PoNasError as error:
        return {"id": place, "name": run.name, "state": "damaged", "said": str(error), "benchmark": ""}


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html_text(title)}</title><style>{_STYLE}</style></head><body><main><h1>{html_text(title)}</h1>"
        f"{body}</main></body></html>\n"
    )


def _index() -> str:
    body = (
        '<p class="dim" id="said" role="status">reading …</p><div id="groups"></div>'
        "<noscript><p>The curves need JavaScript; po-nas watch shows runs on a terminal.</p></noscript>"
        '<script src="live.js"></script>'
    )
    return _document("po-nas runs", body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    runs: RunServer


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    server: _Server
    server_version = f"po-nas/{__version__}"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer."""
        port = self.server.server_port
        if self.headers.get("Host") not in {f"{ADDRESS}:{port}", f"localhost:{port}"}:
            self._answer(HTTPStatus.FORBIDDEN, b"this server answers to its own address alone\n", "text/plain")
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._answer(HTTPStatus.OK, _index().encode(), "text/html")
        elif path == "/live.js":
            self._answer(HTTPStatus.OK, _SCRIPT, "text/javascript")
        elif path == "/runs.json":
            text = json.dumps(self.server.runs.states(), allow_nan=False)
            self._answer(HTTPStatus.OK, text.encode(), "application/json")
        elif path.startswith("/run/") and (page := self.server.runs.page(path.removeprefix("/run/"))) is not None:
            self._answer(HTTPStatus.OK, page.encode(), "text/html")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page\n", "text/plain")

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _SECURITY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the terminal is for whoever started the server."""
