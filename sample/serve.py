"""The web server of the demo world: `python -m sample.serve [--port 8411]`, on this machine only.

Serves /images/NAME and /audio/NAME as stored (cut short or not an image at all, where that was planted, and
with the headers of `world/headers.json`), /slow/NAME, which sends a byte every two seconds for ever, and
/health. Anything else is a 404.
"""

import argparse
import asyncio
import contextlib
import json
import mimetypes
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aiohttp import web

from sample import HERE, PORT

__all__ = ["HEALTH_TEXT", "HOST", "main", "make_app", "serving"]

HOST = "127.0.0.1"
HEALTH_TEXT = "showtell sample world"
DRIP_SECONDS = 2.0
JPEG_START = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(world: Path = HERE / "world") -> web.Application:
    """The server's routes over the files of a built world. Raises FileNotFoundError where there is none."""
    headers: dict[str, dict[str, str]] = json.loads((world / "headers.json").read_text())
    app = web.Application()
    app.router.add_get("/health", _health)
    app.router.add_get("/images/{name}", _file_handler(world / "images", headers))
    app.router.add_get("/audio/{name}", _file_handler(world / "audio", {}))
    app.router.add_get("/slow/{name}", _drip)
    return app


async def _health(request: web.Request) -> web.StreamResponse:
    return web.Response(text=HEALTH_TEXT)


def _file_handler(folder: Path, headers: dict[str, dict[str, str]]) -> Handler:
    # Only names that were in the folder at the start are served, so no name can lead out of it.
    files = {path.name: path for path in folder.iterdir()}

    async def serve_file(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in files:
            raise web.HTTPNotFound
        # By the name's ending, as static servers do: so an HTML page behind a .jpg claims to be an image.
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return web.Response(body=files[name].read_bytes(), content_type=kind, headers=headers.get(name))

    return serve_file


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    await response.prepare(request)
    sent = 0
    with contextlib.suppress(ConnectionResetError):  # the client has had enough, as it should
        while True:
            await response.write(JPEG_START[sent : sent + 1] or b"\x00")
            sent += 1
            await asyncio.sleep(DRIP_SECONDS)
    return response


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    runner = web.AppRunner(make_app(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        print(f"http://{HOST}:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve until SIGTERM or Ctrl-C. Port 0 takes a free one; the first line printed is the address."""
    parser = argparse.ArgumentParser(prog="python -m sample.serve", description="Serve the demo world.")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 for any free port")
    port: int = parser.parse_args().port
    try:
        asyncio.run(_serve(port))
    except FileNotFoundError as error:
        sys.exit(f"no demo world to serve ({error.filename} is missing): run `python -m sample.build_world`")
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot serve on {HOST}:{port}: {getattr(error, 'strerror', None) or error}")


@contextlib.contextmanager
def serving(port: int = PORT) -> Iterator[str]:
    """Serve the demo world in a process of its own as long as the block runs; gives its address.

    A sample world that already answers on the port is used, and left running: one that a killed run left
    behind must not stand in the way. Port 0 takes a free port. Raises RuntimeError, with the server's own
    line, when it cannot start.
    """
    if port and _is_healthy(f"http://{HOST}:{port}"):
        yield f"http://{HOST}:{port}"
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "sample.serve", "--port", str(port)],
        cwd=HERE.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None  # both are pipes
            assert process.stderr is not None
            address = process.stdout.readline().strip()  # printed once it listens; empty if it ended instead
            if not address or not _is_healthy(address):
                process.kill()
                raise RuntimeError(process.stderr.read().strip() or "the sample world's server did not start")
            yield address
        finally:
            process.terminate()


def _is_healthy(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
    try:
        with direct.open(f"{address}/health", timeout=5) as answer:
            return bool(answer.read() == HEALTH_TEXT.encode())
    except (urllib.error.URLError, OSError, ValueError):
        return False


if __name__ == "__main__":
    main()
