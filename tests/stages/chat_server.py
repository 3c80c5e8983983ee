"""An OpenAI-compatible chat server for tests: real HTTP, scripted answers."""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.stages.batch_api import Answer, BatchApi

__all__ = ["GOOD_REPLIES", "Answer", "ChatServer", "completion"]

GOOD_REPLIES: dict[str, Any] = {
    "conversation": {
        "turns": [
            {"question": "What floats on the water?", "answer": "A red boat."},
            {"question": "Is it alone?", "answer": "Yes, there is no other boat."},
        ]
    },
    "detail": {"description": "A red boat lies left of two houses."},
    "reasoning": {"question": "Why might it not sail?", "answer": "There is no wind, so it stays."},
}


def completion(content: str | None, finish_reason: str = "stop", **message: Any) -> Answer:
    """Return a chat completion of 10 prompt and 5 reply tokens."""
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return Answer(body={"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})


def good_reply(body: dict[str, Any]) -> Answer:
    """Answer with what the last line of the first user message asks for."""
    content = body["messages"][1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    kind = text.rpartition("Write: ")[2]
    return completion(json.dumps(GOOD_REPLIES.get(kind, {"description": "A boat."})))


class _Listener(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a client that was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ChatServer:
    """Answers from ``script`` first, one entry a request, then by ``respond``; keeps what it was asked.

    Attributes:
        batches: its Batch API, whose requests are answered like any other.
        bodies: the JSON of every request, in order of arrival.
        most_at_once: the most requests it worked on at the same time.
    """

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.respond: Callable[[dict[str, Any]], Answer] = good_reply
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str] = []
        self.most_at_once = 0
        self.batches = BatchApi(lambda body: self.answer(body, ""))
        self._at_once = 0
        self._lock = threading.Lock()
        self._http = _Listener(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def calls(self) -> int:
        """Requests received."""
        return len(self.bodies)

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, body: dict[str, Any], authorization: str) -> Answer:
        """Return the next answer."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.bodies.append(body)
            self.authorizations.append(authorization)
            scripted = self.script.popleft() if self.script else None
        try:
            return scripted or self.respond(body)
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/chat/completions":
                    self.reply(server.answer(json.loads(data), self.headers.get("Authorization", "")))
                else:
                    self.reply(server.batches.post(self.path, data, self.headers["Content-Type"]))

            def do_GET(self) -> None:
                self.reply(server.batches.get(self.path))

            def reply(self, answer: Answer) -> None:
                text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        return Handler
