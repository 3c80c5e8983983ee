"""Fetch the images and recordings of samples, or take them as they came, and make every image sound."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from schemas.columns import SOURCE
from schemas.config import SPEED, StageConfig
from schemas.errors import Reject
from stages.base import Stage, rows_to_table

if TYPE_CHECKING:
    from stages.fetch import Fetched, Wanted

__all__ = ["Download", "DownloadConfig"]

Row = Mapping[str, Any]
Media = Literal["image", "audio"]
MEDIA: tuple[Media, ...] = ("image", "audio")


class DownloadConfig(StageConfig):
    """Settings of ``download``.

    How patiently a URL is asked is not part of the fingerprint: it decides whether a picture comes, never
    which one, and nobody wants to fetch a million again for a longer timeout.
    """

    batch_rows: Annotated[int, SPEED] = Field(256, ge=1)
    """Rows fetched together; identical URLs among them are fetched once."""
    concurrency: Annotated[int, SPEED] = Field(64, ge=1)
    """URLs fetched at the same time by one actor."""
    timeout_s: Annotated[float, SPEED] = Field(20.0, gt=0)
    """Deadline of one URL in seconds: redirects, body, retries and the waits between them included."""
    connect_timeout_s: Annotated[float, SPEED] = Field(5.0, gt=0)
    """Deadline of one connection in seconds, name look-up and TLS handshake included."""
    retries: Annotated[int, SPEED] = Field(2, ge=0)
    """How often to ask again after a connection that breaks off or does not open, HTTP 429 or 5xx."""
    user_agent: Annotated[str, SPEED] = ""
    """What to send as User-Agent; empty: ``showtell/<version>`` and the contact."""
    contact: Annotated[str, SPEED] = ""
    """Where a server's owner can reach you: a web page or mail address, sent in the User-Agent."""
    max_bytes: int = Field(20 * 2**20, ge=1)
    """Largest image file, in bytes; counted while it arrives."""
    max_audio_bytes: int = Field(50 * 2**20, ge=1)
    """Largest recording, in bytes; counted while it arrives."""
    max_redirects: int = Field(5, ge=0)
    """Redirects followed for one URL."""
    allow_hosts: list[str] = []
    """Hosts, by name or address, that may have a private address; all others must be on the internet."""
    respect_opt_out: bool = True
    """Reject what X-Robots-Tag says not to use: noai, noimageai, noindex, noimageindex, noml, none."""
    max_pixels: int = Field(89_000_000, ge=1, le=178_000_000)
    """Largest image, in pixels; an image is not decoded before its size is known."""
    image_size: int = Field(0, ge=0)
    """Side to resize to, in pixels; 0 keeps every image at its size."""
    resize_mode: Literal["no", "keep_ratio", "keep_ratio_largest", "center_crop", "border"] = "keep_ratio"
    """As in img2dataset: ``keep_ratio`` sets the shorter side, ``keep_ratio_largest`` the longer one,
    ``center_crop`` the shorter one and crops, ``border`` the longer one and pads with white."""
    resize_only_if_bigger: bool = True
    """Never enlarge."""
    encode_format: Literal["jpg", "png", "webp"] = "jpg"
    """Format of images that are resized or converted; all others stay byte for byte as fetched."""
    encode_quality: int = Field(95, ge=1, le=100)
    """Quality of jpg and webp; png is lossless."""

    def agent(self) -> str:
        """Return the User-Agent header."""
        if self.user_agent:
            return self.user_agent
        try:
            name = f"showtell/{version('showtell')}"
        except PackageNotFoundError:  # run from a checkout that was never installed
            name = "showtell"
        return f"{name} (+{self.contact})" if self.contact else name


class Download(Stage[DownloadConfig]):
    """Adds image and audio bytes and what is known of them.

    ``sha256`` and ``audio_sha256`` are of the file as it came, in hex. ``width`` and ``height`` are of the
    image as kept, ``original_width`` and ``original_height`` as it came, all upright. ``phash`` is the
    perceptual hash (imagehash) of the image as kept. Media that are not asked for are null.
    """

    name = "download"
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
            ("audio_bytes", pa.large_binary()),
            ("audio_sha256", pa.string()),
        ]
    )
    reasons: ClassVar[Mapping[str, str]] = {
        "nothing_to_fetch": "neither an image nor a recording is given",
        "file_missing": "the image or audio file cannot be read",
        "empty": "no bytes",
        "too_large": "more bytes than allowed",
        "timeout": "no complete answer before the deadline",
        "dns": "the host name does not resolve",
        "tls": "the server's certificate or TLS handshake is bad",
        "connection": "the connection was refused or broke off",
        "redirects": "too many redirects, or one that leads nowhere",
        "bad_url": "not an http or https address",
        "private_address": "the host is a private address that allow_hosts does not name",
        "opted_out": "X-Robots-Tag asks not to be used or indexed",
        "http_403": "HTTP 403: forbidden",
        "http_404": "HTTP 404: not found",
        "http_410": "HTTP 410: gone",
        "http_429": "HTTP 429: too many requests, even after waiting",
        "http_4xx": "another HTTP 4xx",
        "http_5xx": "HTTP 5xx: the server failed, even after trying again",
        "not_an_image": "the bytes are no image in a supported format",
        "truncated_image": "the image ends before it is complete",
        "decode_error": "the image is broken",
        "decode_bomb": "the image would take far more memory than any picture needs",
        "too_many_pixels": "more pixels than max_pixels",
    }

    def process(self, batch: pa.Table) -> pa.Table:
        """Fetch what the rows point to, all at once, then finish row by row."""
        from stages.fetch import fetch_all

        rows = batch.to_pylist()
        asked = [self._wanted(row, media) for row in rows for media in MEDIA]
        wanted = dict.fromkeys(one for one in asked if one is not None)
        fetched = fetch_all(wanted, self.config, self.counts) if wanted else {}
        return rows_to_table([self._finish(row, fetched) for row in rows], self.produces)

    def _limit(self, media: Media) -> int:
        return self.config.max_bytes if media == "image" else self.config.max_audio_bytes

    def _wanted(self, row: Row, media: Media) -> Wanted | None:
        """Return what must be fetched: nothing where the media came with the source."""
        from stages.fetch import Wanted

        url = row[f"{media}_url"]
        return Wanted(url, self._limit(media)) if url and not _is_given(row[media]) else None

    def _finish(self, row: Row, fetched: Mapping[Wanted, Fetched | Reject]) -> dict[str, Any] | Reject:
        try:
            values = {**self._image(row, fetched), **self._audio(row, fetched)}
        except Reject as reject:
            return reject
        return values or Reject("nothing_to_fetch")

    def _image(self, row: Row, fetched: Mapping[Wanted, Fetched | Reject]) -> dict[str, Any]:
        from stages.images import finish

        wanted = self._wanted(row, "image")
        data = _outcome(fetched[wanted]).data if wanted else self._given(row, "image")
        if data is None:
            return {}
        image = finish(data, self.config)
        return {
            "image_bytes": image.data,
            "image_format": image.format,
            "width": image.width,
            "height": image.height,
            "original_width": image.original_width,
            "original_height": image.original_height,
            "sha256": hashlib.sha256(data).hexdigest(),
            "phash": image.phash,
            "http_status": _outcome(fetched[wanted]).status if wanted else None,
        }

    def _audio(self, row: Row, fetched: Mapping[Wanted, Fetched | Reject]) -> dict[str, Any]:
        wanted = self._wanted(row, "audio")
        try:
            data = _outcome(fetched[wanted]).data if wanted else self._given(row, "audio")
        except Reject as reject:
            raise Reject(reject.reason, f"audio: {reject.detail}") from reject
        return {} if data is None else {"audio_bytes": data, "audio_sha256": hashlib.sha256(data).hexdigest()}

    def _given(self, row: Row, media: Media) -> bytes | None:
        """Return media that came with the source, as bytes or as a file; None where there are none."""
        if not _is_given(row[media]):
            return None
        data = row[media]["bytes"]
        if data is None:
            data = _read(Path(row[media]["path"]), self._limit(media))
        if not data:
            raise Reject("empty", row[media]["path"] or "")
        if len(data) > self._limit(media):
            raise Reject("too_large", f"{len(data)} bytes, {self._limit(media)} allowed")
        return bytes(data)


def _is_given(payload: Mapping[str, Any] | None) -> bool:
    return payload is not None and (payload["bytes"] is not None or bool(payload["path"]))


def _outcome(outcome: Fetched | Reject) -> Fetched:
    if isinstance(outcome, Reject):
        raise outcome
    return outcome


def _read(path: Path, max_bytes: int) -> bytes:
    """Read a file, but no more than one byte over the limit of it."""
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise Reject("file_missing", f"{path}: {error.strerror}") from error
