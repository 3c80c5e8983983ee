"""Runs the client against servers of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import Reject
from schemas.storage import Storage
from stages.fetching.client import Client, Trail
from stages.fetching.settings import FetchSettings

T = TypeVar("T")
NO_CONSENT = {"respect_robots_txt": False, "respect_tdmrep": False}
"""Settings with which a host gets no requests but those for the URLs."""


def with_client(folder: Path, work: Callable[[Client], Awaitable[T]], *, machines: int = 1, **settings: Any) -> T:
    """Run work with a client of these settings."""

    async def run() -> T:
        wanted = {"allow_hosts": ["127.0.0.1"], **settings}
        client = Client(FetchSettings(use="download", **wanted), Storage(str(folder)), machines)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


async def fetch(client: Client, url: str, max_bytes: int = 1 << 20, trail: Trail | None = None) -> bytes | Reject:
    """Return the body, or why there is none."""
    try:
        async with client.fetched(url, max_bytes, trail or Trail()) as fetched:
            return fetched.data
    except Reject as reject:
        return reject


def outcomes(folder: Path, urls: list[str], **settings: Any) -> list[bytes | Reject]:
    """Fetch all URLs at once."""

    async def work(client: Client) -> list[bytes | Reject]:
        return list(await asyncio.gather(*(fetch(client, url) for url in urls)))

    return with_client(folder, work, **settings)


def reasons(found: list[bytes | Reject]) -> set[str]:
    """Return the reject reasons; an empty string stands for a body."""
    return {one.reason if isinstance(one, Reject) else "" for one in found}
