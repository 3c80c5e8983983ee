"""The server of the page: on this machine only, reading only."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from aiohttp import web

from pipeline.exchanges import exchanges
from pipeline.run_dir import RunDirectory
from pipeline.viewer.index import Index
from pipeline.viewer.query import Query
from pipeline.viewer.samples import THUMBNAIL_PIXELS, audio_type, image_type, media, plain, sample, shrunk
from schemas.errors import ConfigError, Mistake, ShowtellError

__all__ = ["HOST", "described", "make_app", "serve"]

HOST = "127.0.0.1"

HOST_NAMES = {HOST, "localhost"}
"""What a browser on this machine calls it. Any other Host comes from a page of somebody else's whose name was made to
point here (DNS rebinding), and gets nothing."""

PAGE_FILES = {"": ("index.html", "text/html"), "view.js": ("view.js", "text/javascript"),
              "view.css": ("view.css", "text/css"), "icon.svg": ("icon.svg", "image/svg+xml")}
"""Path -> file and type. Nothing else is served by name, so no path can lead elsewhere."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

MOST_ROWS = 200
"""Rows in one answer."""

RANGE = re.compile(r"bytes=(\d*)-(\d*)")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

INDEX = web.AppKey("index", Index)
NAME = web.AppKey("name", str)


def make_app(run: RunDirectory) -> web.Application:
    """Return the server's routes over a run; the index is built from when it starts until it stops."""
    app = web.Application(middlewares=[_only_from_here, _told])
    app[INDEX] = Index(run)
    app[NAME] = str(run.describe().get("config", {}).get("name", ""))
    for path, (file, kind) in PAGE_FILES.items():
        app.router.add_get(f"/{path}", _page_file(file, kind))
    app.router.add_get("/api/run", _run)
    app.router.add_get("/api/rows", _rows)
    place = r"{part:\d{1,9}}/{row:\d{1,9}}"
    app.router.add_get(f"/api/sample/{place}", _sample)
    app.router.add_get(f"/api/exchanges/{place}", _exchanges)
    app.router.add_get(f"/thumb/{place}", _thumb)
    app.router.add_get(f"/image/{place}", _image)
    app.router.add_get(f"/audio/{place}", _audio)
    app.on_response_prepare.append(_protect)
    app.on_startup.append(_start)
    app.on_cleanup.append(_stop)
    return app


def serve(run: RunDirectory, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted.

    Args:
        run: the run to show.
        port: the port; 0 takes any that is free.
        ready: called with the page's address once it answers.

    Raises:
        ConfigError: the port is taken.
    """
    asyncio.run(_serve(make_app(run), port, ready))


async def _serve(app: web.Application, port: int, ready: Callable[[str], None]) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            problem = f"cannot listen there ({error.strerror}); name another port"
            raise ConfigError("command line", [Mistake("--port", str(port), problem)]) from error
        interrupted = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
        ready(f"http://{HOST}:{runner.addresses[0][1]}/")
        await interrupted.wait()
    finally:
        await runner.cleanup()


async def _start(app: web.Application) -> None:
    app[INDEX].start()


async def _stop(app: web.Application) -> None:
    await asyncio.to_thread(app[INDEX].close)


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def _only_from_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests that a foreign page was made to send."""
    name = request.headers.get("Host", "").partition(":")[0].lower()
    if name not in HOST_NAMES:
        raise web.HTTPForbidden(text="this page answers to 127.0.0.1 and localhost only\n")
    return await handler(request)


@web.middleware
async def _told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what cannot be read into an answer the page can show."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except LookupError as error:
        return _json({"error": str(error.args[0])}, status=404)
    except ValueError as error:
        return _json({"error": str(error)}, status=400)
    except (OSError, ShowtellError) as error:
        return _json({"error": f"{type(error).__name__}: {error}"}, status=500)


def _json(value: Any, status: int = 200) -> web.Response:
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    # Half a surrogate pair can stand in a text of the web, but not in UTF-8.
    return web.Response(body=text.encode("utf-8", "replace"), status=status, content_type="application/json")


def _page_file(name: str, kind: str) -> Handler:
    body = (resources.files("pipeline.viewer") / "page" / name).read_bytes()

    async def send(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return send


async def _run(request: web.Request) -> web.StreamResponse:
    return _json(described(request.app[INDEX], request.app[NAME]))


def described(index: Index, name: str) -> dict[str, Any]:
    """Return what the page's head and filters show of a run."""
    return {
        "name": name,
        "rows": index.total,
        "indexed": index.rows,
        "is_done": index.is_done,
        "problems": index.problems,
        "stages": [stage.name for stage in index.layout.stages],
        "facets": {facet: dict(counts.most_common()) for facet, counts in index.facets.items()},
        "scores": {score: bounds for score, bounds in index.scores.items() if bounds},
    }


async def _rows(request: web.Request) -> web.StreamResponse:
    index, query = request.app[INDEX], Query.read(request.query)
    offset = _number(request, "offset", 0)
    limit = min(_number(request, "limit", 60), MOST_ROWS)

    def found() -> dict[str, Any]:
        matches = index.find(query)
        return {"total": len(matches), "rows": index.read(matches[offset : offset + limit].tolist())}

    return _json(await asyncio.to_thread(found))


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{name} = {text}: must be a number from 0")
    return int(text)


def _place(request: web.Request) -> tuple[int, int]:
    return int(request.match_info["part"]), int(request.match_info["row"])


async def _sample(request: web.Request) -> web.StreamResponse:
    return _json(await asyncio.to_thread(sample, request.app[INDEX].layout, *_place(request)))


async def _exchanges(request: web.Request) -> web.StreamResponse:
    return _json(await asyncio.to_thread(exchanges, request.app[INDEX].layout, *_place(request)))


async def _thumb(request: web.Request) -> web.StreamResponse:
    def small() -> bytes:
        return shrunk(media(request.app[INDEX].layout, *_place(request), "image"), THUMBNAIL_PIXELS)

    return web.Response(body=await asyncio.to_thread(small), content_type="image/webp")


async def _image(request: web.Request) -> web.StreamResponse:
    data = await asyncio.to_thread(media, request.app[INDEX].layout, *_place(request), "image")
    kind = image_type(data)
    if kind is None:  # such as TIFF, which no browser shows
        data, kind = await asyncio.to_thread(shrunk, data, 2048), "image/webp"
    return web.Response(body=data, content_type=kind)


async def _audio(request: web.Request) -> web.StreamResponse:
    """Send a recording or the piece asked for, without which a browser cannot go to a place in it."""
    data = await asyncio.to_thread(media, request.app[INDEX].layout, *_place(request), "audio")
    kind, accepts = audio_type(data), {"Accept-Ranges": "bytes"}
    asked = RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or asked.group() == "bytes=-":
        return web.Response(body=data, content_type=kind, headers=accepts)
    first, last = asked.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last) + 1 if first and last else len(data), len(data))
    if start >= end:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    content_range = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
    return web.Response(body=data[start:end], status=206, content_type=kind, headers=accepts | content_range)
