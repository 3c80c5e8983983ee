"""One medium of one sample, from where it is to what the dataset holds: given, fetched or shared; then decoded."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from schemas.errors import Reject
from stages.decoding.sandbox import Decoders
from stages.fetching.client import Client, Trail
from stages.fetching.consent import Verdict
from stages.fetching.repeats import Repeats

__all__ = ["Loaded", "Media", "MediaLoader"]

Media = Literal["image", "audio"]

MOST_FAILED: Final = 10_000
"""Repeated URLs that failed and are remembered: the last ones."""


@dataclass(frozen=True)
class Loaded:
    """What became of one medium.

    Attributes:
        values: the stage's columns; empty where nothing is asked for or the medium is no good.
        reject: why it is no good.
        verdicts: what the hosts say about our use of it.
        status: the last HTTP status.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    reject: Reject | None = None
    verdicts: tuple[Verdict, ...] = ()
    status: int | None = None


class MediaLoader:
    """Loads media; belongs to one event loop.

    Args:
        client: fetches.
        decoders: decode.
        repeats: bodies of URLs that stand in several batches.
        max_bytes: most bytes of a file of each medium.
    """

    def __init__(
        self, client: Client, decoders: Decoders, repeats: Repeats, max_bytes: Mapping[Media, int]
    ) -> None:
        self.client = client
        self.decoders = decoders
        self.repeats = repeats
        self.max_bytes = max_bytes
        self.running: dict[tuple[Media, str], asyncio.Task[Loaded]] = {}
        self.failed: OrderedDict[tuple[Media, str], Loaded] = OrderedDict()

    async def load(
        self, media: Media, url: str | None, given: Mapping[str, Any] | None, counts: Counter[str]
    ) -> Loaded:
        """Load a medium: as it was given with the source, else from its URL.

        Args:
            url: where it is on the web.
            given: ``{bytes, path}``, one of them set, if it came with the source.
            counts: ``requests``, ``retries`` and ``bytes_fetched`` are added to it.
        """
        if given is not None and (given["bytes"] is not None or given["path"]):
            return await self._given(media, given)
        if not url:
            return Loaded()
        task = self.running.get((media, url))
        if task is None:
            task = asyncio.create_task(self._from_web(media, url, counts))
            self.running[media, url] = task
            task.add_done_callback(lambda _: self.running.pop((media, url)))
        return await asyncio.shield(task)

    async def _given(self, media: Media, given: Mapping[str, Any]) -> Loaded:
        most = self.max_bytes[media]
        try:
            async with self.client.in_flight:
                data = given["bytes"]
                if data is None:
                    data = await asyncio.to_thread(_read, Path(given["path"]), most)
                if not data:
                    raise Reject("empty", given["path"] or "")
                if len(data) > most:
                    raise Reject("too_large", f"{len(data)} bytes, {most} allowed")
                return Loaded(await self._decoded(media, data))
        except Reject as reject:
            return Loaded(reject=reject)

    async def _from_web(self, media: Media, url: str, counts: Counter[str]) -> Loaded:
        known = self.failed.get((media, url))
        if known is not None:
            return known
        trail = Trail()
        values: Mapping[str, Any] = {}
        reject = None
        try:
            if self.repeats.holds(url):
                async with self.repeats.alone(url):
                    values = await self._once(media, url, trail)
            else:
                async with self.client.fetched(url, self.max_bytes[media], trail) as fetched:
                    values = await self._decoded(media, fetched.data)
        except Reject as error:  # its detail may quote headers, which may hold any bytes
            reject = Reject(error.reason, error.detail.encode(errors="replace").decode())
        counts.update(trail.counts)
        loaded = Loaded(values, reject, tuple(trail.verdicts), trail.status)
        if reject is not None and self.repeats.holds(url):
            self.failed[media, url] = loaded
            if len(self.failed) > MOST_FAILED:
                self.failed.popitem(last=False)
        return loaded

    async def _once(self, media: Media, url: str, trail: Trail) -> Mapping[str, Any]:
        """Take the kept body, or fetch and keep it."""
        known = await asyncio.to_thread(self.repeats.read, url)
        if known is not None:
            trail.status = known.status
            trail.agree(known.verdicts)
            async with self.client.in_flight:
                return await self._decoded(media, known.data)
        async with self.client.fetched(url, self.max_bytes[media], trail) as fetched:
            await asyncio.to_thread(self.repeats.keep, url, fetched, trail.verdicts)
            return await self._decoded(media, fetched.data)

    async def _decoded(self, media: Media, data: bytes) -> Mapping[str, Any]:
        if media == "image":
            image = await self.decoders.image(data)
            return {
                "image_bytes": image.data,
                "image_format": image.format,
                "width": image.width,
                "height": image.height,
                "original_width": image.original_width,
                "original_height": image.original_height,
                "sha256": image.sha256,
                "phash": image.phash,
            }
        sound = await self.decoders.sound(data)
        return {
            "audio_bytes": data,
            "audio_sha256": sound.sha256,
            "audio_duration_s": sound.duration_s,
            "audio_rate": sound.rate,
            "audio_channels": sound.channels,
            "audio_codec": sound.codec,
        }


def _read(path: Path, max_bytes: int) -> bytes:
    """Read a file, but no more than one byte over the limit of it."""
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise Reject("file_missing", f"{path}: {error.strerror}") from error
