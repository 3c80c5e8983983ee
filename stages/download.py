"""Fetch the images and recordings of samples, or take them as they came, and make every image sound."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import pyarrow as pa
from pydantic import Field

from schemas.columns import SOURCE
from schemas.config import SPEED
from schemas.errors import Reject
from stages.base import Stage, rejected, rows_to_table
from stages.decoding.settings import ImageSettings
from stages.fetching.settings import FetchSettings

if TYPE_CHECKING:
    from stages.media import Media

__all__ = ["Download", "DownloadConfig"]

Row = Mapping[str, Any]
MEDIA: Final[tuple[Media, ...]] = ("image", "audio")

VERDICT = pa.struct([("rule", pa.string()), ("allowed", pa.bool_()), ("source", pa.string())])


class DownloadConfig(ImageSettings, FetchSettings):
    """Settings of ``download``."""

    batch_rows: Annotated[int, SPEED] = Field(256, ge=1)
    """Rows fetched together."""
    parts_at_once: Annotated[int, SPEED] = Field(4, ge=1)
    """Parts one actor works on at once, so that a slow host in one does not hold up the next."""
    verify_sha256: str = ""
    """The source's column with the SHA-256 (hex) each image file must have, such as PixMo's ``image_sha256``; another
    file is rejected as ``hash_mismatch``. Empty: no check."""


class Download(Stage[DownloadConfig]):
    """Adds image and audio bytes and what is known of them.

    ``sha256`` and ``audio_sha256`` are of the file as it came, in hex. ``width`` and ``height`` are of the
    image as kept, ``original_width`` and ``original_height`` as it came, all upright. ``phash`` is the
    perceptual hash (imagehash) of the image as kept. ``consent`` is what the hosts say about our use, rule by
    rule, each with its source. Media that are not asked for are null; ``consent`` and ``http_status`` are also
    there for rows that are rejected.
    """

    name = "download"
    version = 3
    Config = DownloadConfig
    consumes = pa.schema([SOURCE.field(name) for name in ("image_url", "image", "audio_url", "audio")])
    produces = pa.schema(
        [
            ("image_bytes", pa.large_binary()),
            ("image_format", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("original_width", pa.int32()),
            ("original_height", pa.int32()),
            ("sha256", pa.string()),
            ("phash", pa.string()),
            ("http_status", pa.int16()),
            ("consent", pa.list_(VERDICT)),
            ("audio_bytes", pa.large_binary()),
            ("audio_sha256", pa.string()),
            ("audio_duration_s", pa.float64()),
            ("audio_rate", pa.int32()),
            ("audio_channels", pa.int16()),
            ("audio_codec", pa.string()),
        ]
    )
    reasons: ClassVar[Mapping[str, str]] = {
        "nothing_to_fetch": "neither an image nor a recording is given",
        "file_missing": "the image or audio file cannot be read",
        "empty": "no bytes",
        "too_large": "more bytes than allowed, as sent or decompressed",
        "timeout": "no complete answer before the deadline, or one that came too slowly",
        "dns": "the host name does not resolve",
        "tls": "the server's certificate or TLS handshake is bad",
        "connection": "the connection was refused or broke off",
        "redirects": "too many redirects, or one that leads nowhere",
        "bad_url": "not an http or https address",
        "bad_encoding": "a Content-Encoding that was not asked for and cannot be undone",
        "private_address": "the host is a private address that allow_hosts does not name",
        "robots": "the host's robots.txt disallows it",
        "opted_out": "X-Robots-Tag or TDMRep reserves it",
        "http_403": "HTTP 403: forbidden",
        "http_404": "HTTP 404: not found",
        "http_410": "HTTP 410: gone",
        "http_429": "HTTP 429: too many requests, even after waiting",
        "http_4xx": "another HTTP 4xx",
        "http_5xx": "HTTP 5xx: the server failed, even after trying again",
        "hash_mismatch": "not the file that verify_sha256 expects",
        "not_an_image": "the bytes are no image in an allowed format",
        "truncated_image": "the image ends before it is complete",
        "decode_error": "the image is broken",
        "decode_bomb": "the image would take far more memory than any picture needs",
        "decode_crash": "the decoder crashed on it",
        "decode_timeout": "decoding took longer than decode_timeout_s",
        "decode_memory": "decoding took more memory than decode_memory_mb",
        "too_many_pixels": "more pixels than max_pixels",
        "not_audio": "the bytes are no sound file",
        "audio_broken": "the sound file is broken",
    }
    surveys = True
    survey_is_input = False

    def __init__(self, config: DownloadConfig) -> None:
        """Read the source's other columns too where one of them holds a hash to verify."""
        super().__init__(config)
        self.parts_at_once = config.parts_at_once
        if config.verify_sha256:
            self.consumes = self.consumes.append(SOURCE.field("extra"))

    def survey(self, parts: Iterator[pa.Table]) -> pa.Table:
        """Find the URLs that stand in several batches."""
        from stages.fetching.repeats import find_repeats

        size = self.config.batch_rows
        batches = (part.slice(row, size) for part in parts for row in range(0, part.num_rows, size))
        return find_repeats(
            [url for media in MEDIA for url in batch[f"{media}_url"].to_pylist() if url] for batch in batches
        )

    def open(self) -> None:
        """Start the event loop that all parts share."""
        from stages.decoding.sandbox import Decoders
        from stages.fetching.client import Client
        from stages.fetching.event_loop import EventLoop
        from stages.fetching.repeats import Repeats
        from stages.media import MediaLoader

        async def start() -> tuple[Client, Decoders]:
            return Client(self.config, self.folder.folder("consent"), self.machines), Decoders(self.config)

        self.loop = EventLoop()
        self.client, self.decoders = self.loop.run(start())
        repeats = Repeats(self.surveyed, self.folder.folder("repeated"), self.client.hosts.machine)
        most: dict[Media, int] = {"image": self.config.max_bytes, "audio": self.config.max_audio_bytes}
        self.loader = MediaLoader(self.client, self.decoders, repeats, most)

    def close(self) -> None:
        """Close connections and decoders."""
        self.loop.run(self.client.close())
        self.loop.run(self.decoders.close())
        self.loop.close()

    def process(self, batch: pa.Table) -> pa.Table:
        """Load the media of all rows at once."""
        finished = self.loop.run(self._rows(batch.to_pylist(), self.counts))
        return rows_to_table(finished, self.produces)

    async def _rows(self, rows: list[Row], counts: Counter[str]) -> list[dict[str, Any] | Exception]:
        work = (self._row(row, counts) for row in rows)
        finished = await asyncio.gather(*work, return_exceptions=True)
        for outcome in finished:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
        return finished  # type: ignore[return-value]

    async def _row(self, row: Row, counts: Counter[str]) -> dict[str, Any]:
        """Return what the row's media gave; or why not, with what the hosts said."""
        image, audio = await asyncio.gather(
            *(self.loader.load(media, row[f"{media}_url"], row[media], counts) for media in MEDIA)
        )
        status = image.status if image.status is not None else audio.status
        consent = [asdict(verdict) for verdict in dict.fromkeys((*image.verdicts, *audio.verdicts))]
        known = {"http_status": status, "consent": consent or None}
        reject = image.reject or self._mismatch(row, image.values.get("sha256"))
        if not reject and audio.reject:
            reject = Reject(audio.reject.reason, f"audio: {audio.reject.detail}")
        if not reject and not image.values and not audio.values:
            reject = Reject("nothing_to_fetch")
        return {**known, **rejected(reject)} if reject else {**known, **image.values, **audio.values}

    def _mismatch(self, row: Row, sha256: str | None) -> Reject | None:
        if not self.config.verify_sha256 or sha256 is None:
            return None
        wanted = json.loads(row["extra"] or "{}").get(self.config.verify_sha256)
        if wanted is None or str(wanted).lower() == sha256:
            return None
        return Reject("hash_mismatch", f"{sha256} instead of {wanted}")
