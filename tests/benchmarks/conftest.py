"""A server of the toy data set, and an empty cache for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from . import toy


class ToyServer(ThreadingHTTPServer):
    """Serves `content`; counts requests; `behaviour` makes it misbehave."""

    daemon_threads = True
    content = toy.CONTENT
    behaviour = "good"
    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/toy.bin"


class _Handler(BaseHTTPRequestHandler):
    server: ToyServer

    def do_GET(self) -> None:
        self.server.requests += 1
        behaviour, content = self.server.behaviour, self.server.content
        if behaviour == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half])
        if behaviour == "hangs":
            self.wfile.flush()
            threading.Event().wait(600)
        if behaviour != "breaks off":
            self.wfile.write(content[half:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ToyServer]:
    with ToyServer(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no mirror."""
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PO_NAS_DATA_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def toy_set(server: ToyServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> ToyServer:
    """The toy installed in this process."""
    toy.install(server.url, monkeypatch.setattr)
    return server
