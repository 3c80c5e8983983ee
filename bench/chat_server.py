"""A chat server in a process of its own, cheap and badly behaved on demand.

    python -m bench.chat_server PORT_FILE [--latency-ms 50] [--faults] [--seed 0]

Every chat completion is answered after the latency, with a JSON description. With faults a request may instead get a
429 with Retry-After (5%), a 500 (1%), a reset (0.5%), or a reply whose JSON is cut (2%). What happens to a request
depends on the seed, its prompt, and how often that prompt was asked, so every client meets the same faults.
`/calls` tells how many completions were asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
import struct
from collections import Counter
from pathlib import Path

RETRY_AFTER_S = 1
RESET = struct.pack("ii", 1, 0)
NUMBER = re.compile(rb"photograph (\d+)")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
SENTENCE = "A red boat lies in the harbour, two houses stand behind it, and the sky above the water is grey. "


def description(number: int) -> str:
    """Return the reply to a prompt: JSON of about 400 characters."""
    return json.dumps({"description": f"Photograph {number}. " + SENTENCE * 4})


def completion(number: int, cut: bool) -> bytes:
    """Return the body of a chat completion; ``cut`` breaks the JSON of the reply, not that of the body."""
    text = description(number)
    message = {"role": "assistant", "content": text[: len(text) // 2] if cut else text, "refusal": None}
    usage = {"prompt_tokens": 400, "completion_tokens": 90, "total_tokens": 490}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": "mock"}
    return json.dumps({**body, "choices": [choice], "usage": usage}).encode()


class Chat(asyncio.Protocol):
    """One connection; a request is answered before the next is read."""

    latency_s = 0.05
    faults = False
    seed = 0
    asked: Counter[int] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Begin to answer each whole request."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.received, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.received) < size:
                return
            request, self.received = self.received[:size], self.received[size:]
            if request.startswith(b"GET"):
                self.send("200 OK", json.dumps(self.asked.total()).encode())
            else:
                self.answer(request)

    def answer(self, request: bytes) -> None:
        """Decide what becomes of a request, and send it after the latency."""
        found = NUMBER.search(request)
        number = int(found[1]) if found else 0
        self.asked[number] += 1
        fate = random.Random(f"{self.seed} {number} {self.asked[number]}").random() if self.faults else 1.0
        after = asyncio.get_running_loop().call_later
        if fate < 0.05:
            after(self.latency_s, self.send, "429 Too Many Requests", b"{}", f"Retry-After: {RETRY_AFTER_S}\r\n")
        elif fate < 0.06:
            after(self.latency_s, self.send, "500 Internal Server Error", b"{}")
        elif fate < 0.065:
            after(self.latency_s, self.reset)
        else:
            after(self.latency_s, self.send, "200 OK", completion(number, cut=fate < 0.085))

    def send(self, status: str, body: bytes, headers: str = "") -> None:
        """Send an answer."""
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.transport.write(head.encode() + body)

    def reset(self) -> None:
        """Break the connection off: lingering for 0 s makes the system send a reset instead of an orderly end."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port_file", type=Path)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    Chat.latency_s, Chat.faults, Chat.seed = options.latency_ms / 1000, options.faults, options.seed
    server = await asyncio.get_running_loop().create_server(Chat, "127.0.0.1", 0, backlog=1024)
    options.port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
