"""A real web server on this machine that misbehaves on demand."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Answer", "Site", "serve"]


@dataclass(frozen=True)
class Answer:
    """One answer to one request.

    Attributes:
        reset: break the connection off instead of answering.
        lies: Content-Length to claim instead of the true one; 0 claims none and ends by closing.
        drip_s: seconds between two bytes of the body.
        wait_s: seconds before the answer begins.
        endless: send the body again and again until the client hangs up.
        raw: send this in place of the status line, the headers and the body.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    lies: int | None = None
    drip_s: float = 0.0
    wait_s: float = 0.0
    endless: bool = False
    raw: bytes = b""


class Site:
    """What the server says: the answers of a path one after another, the last for ever.

    Attributes:
        requests: how often each path was asked for.
        answered: how often each path's answer was sent to its end.
        agents: every User-Agent that came.
        times: when each path was asked for, by the monotonic clock.
        most_at_once: the most requests whose answers were waited for at a time.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, list[Answer]] = {}
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}
        self.agents: set[str] = set()
        self.at_once = 0
        self.most_at_once = 0

    def add(self, path: str, *answers: Answer) -> str:
        """Set the answers of a path and return its URL."""
        self.pages[path] = list(answers)
        return self.url + path

    def next_answer(self, path: str) -> Answer:
        """Return the answer to the next request of a path."""
        answers = self.pages.get(path, [Answer(status=404)])
        seen = self.requests[path]
        self.requests[path] += 1
        self.times.setdefault(path, []).append(time.monotonic())
        return answers[min(seen, len(answers) - 1)]


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Run a server on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site = Site(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
    closing, counting = threading.Event(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.agents.add(self.headers["User-Agent"])
            answer = site.next_answer(self.path)
            with counting:
                site.at_once += 1
                site.most_at_once = max(site.most_at_once, site.at_once)
            closing.wait(answer.wait_s)
            with counting:
                site.at_once -= 1
            with suppress(ConnectionError):  # the client may hang up: some answers are made for that
                _send(self, answer, closing)
                site.answered[self.path] += 1

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server.RequestHandlerClass = Handler
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        closing.set()
        server.shutdown()
        server.server_close()


def _send(handler: BaseHTTPRequestHandler, answer: Answer, closing: threading.Event) -> None:
    if answer.reset:
        # Lingering for 0 s makes the system send a reset instead of an orderly end.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        return
    if answer.raw:
        _write(handler, answer, answer.raw, closing)
        return
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    length = len(answer.body) if answer.lies is None else answer.lies
    if answer.lies != 0:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    _write(handler, answer, answer.body, closing)


def _write(handler: BaseHTTPRequestHandler, answer: Answer, data: bytes, closing: threading.Event) -> None:
    while True:
        pieces = [data[at : at + 1] for at in range(len(data))] if answer.drip_s else [data]
        for piece in pieces:
            if closing.is_set():
                return
            handler.wfile.write(piece)
            closing.wait(answer.drip_s)
        if not answer.endless:
            return
