"""A web server in a process of its own that serves a folder of photographs under as many URLs as wanted, cheaply.

    python -m bench.photo_server FOLDER PORT_FILE

`/<anything>/<number>.jpg` is the photograph of that number, counted round; `/drip/<number>.jpg` is the same, one byte
every two seconds; anything else is a 404. `/stats` tells when the first and the last photograph were asked for.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

DRIP_S = 2.0


class Photographs(asyncio.Protocol):
    """One connection; requests come one after another."""

    bodies: list[bytes] = []
    asked: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, self.received = self.received.split(b"\r\n\r\n", 1)
            path = head.split(b" ", 2)[1].decode()
            assert isinstance(self.transport, asyncio.Transport)
            answer = self._answer(path)
            if path.startswith("/drip/"):
                self.transport.write(answer.pop(0))
                self._drip(self.transport, answer[0])
            else:
                self.transport.writelines(answer)

    def _drip(self, transport: asyncio.Transport, body: bytes) -> None:
        """Send the first byte, and the others later, as long as somebody listens."""
        if body and not transport.is_closing():
            transport.write(body[:1])
            asyncio.get_running_loop().call_later(DRIP_S, self._drip, transport, body[1:])

    def _answer(self, path: str) -> list[bytes]:
        name = path.rsplit("/", 1)[-1]
        if name == "stats":
            return _answer("200 OK", json.dumps([min(self.asked), max(self.asked)]).encode())
        if not name.endswith(".jpg"):
            return _answer("404 Not Found", b"")
        self.asked.append(time.time())
        return _answer("200 OK", self.bodies[int(name.removesuffix(".jpg")) % len(self.bodies)])


def _answer(status: str, body: bytes) -> list[bytes]:
    return [f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]


async def main() -> None:
    """Serve until killed."""
    folder, port_file = map(Path, sys.argv[1:3])
    Photographs.bodies = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]
    server = await asyncio.get_running_loop().create_server(Photographs, "127.0.0.1", 0, backlog=1024)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
