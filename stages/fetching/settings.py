"""Settings of fetching: patience, politeness, consent."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

from pydantic import Field

from schemas.config import SPEED, StageConfig

__all__ = ["PRODUCT", "FetchSettings"]

PRODUCT: Final = "showtell"
"""The name robots.txt, X-Robots-Tag and the like know us by, unless ``user_agent`` says another."""


class FetchSettings(StageConfig):
    """How URLs are asked.

    How patiently and how politely is not part of the fingerprint: it decides whether a picture comes, never which
    one, and nobody wants to fetch a million again for a longer timeout.
    """

    max_in_flight: Annotated[int, SPEED] = Field(128, ge=1)
    """URLs of one actor that are being fetched or wait to be decoded: at most so many bodies are in memory."""
    timeout_s: Annotated[float, SPEED] = Field(20.0, gt=0)
    """Deadline of one URL in seconds: redirects, body, retries and the waits between them included."""
    connect_timeout_s: Annotated[float, SPEED] = Field(5.0, gt=0)
    """Deadline of one connection in seconds, name look-up and TLS handshake included."""
    min_bytes_per_s: Annotated[int, SPEED] = Field(512, ge=0)
    """A body that arrives slower than this over ``slow_after_s`` is given up as ``timeout``; 0: no such limit."""
    slow_after_s: Annotated[float, SPEED] = Field(2.0, gt=0)
    """Seconds over which ``min_bytes_per_s`` is measured."""
    retries: Annotated[int, SPEED] = Field(2, ge=0)
    """How often to ask again after a timeout, a connection that breaks off, HTTP 429 or 5xx."""
    retry_after_max_s: Annotated[float, SPEED] = Field(30.0, ge=0)
    """The longest ``Retry-After`` that is waited for; what must wait longer is rejected and can be retried later."""
    user_agent: Annotated[str, SPEED] = Field("", pattern=r"^$|^[A-Za-z]")
    """What to send as User-Agent; empty: ``showtell/<version>`` and the contact."""
    contact: Annotated[str, SPEED] = ""
    """Where a server's owner can reach you: a web page or mail address, sent in the User-Agent."""
    host_requests_per_s: Annotated[float | None, SPEED] = Field(None, ge=0)
    """Requests a second to one host, from all actors together; 0: no limit. Unset: 20 on the internet, no limit for
    a private address that ``allow_hosts`` names."""
    host_connections: Annotated[int | None, SPEED] = Field(None, ge=0)
    """Connections to one host at a time, from all actors of a machine; 0: no limit. Unset: 8 on the internet, no
    limit for a private address that ``allow_hosts`` names."""
    host_failures: Annotated[int, SPEED] = Field(8, ge=0)
    """After so many failures in a row a host is given up for a minute, and its URLs are rejected for the reason of the
    last one; 0: never. A failure is no answer at all, or another HTTP 429 or 503 after the wait that it asked for."""
    max_bytes: int = Field(20 * 2**20, ge=1)
    """Largest image file, in bytes; counted while it arrives, and again after decompression."""
    max_audio_bytes: int = Field(50 * 2**20, ge=1)
    """Largest recording, in bytes; counted in the same way."""
    max_redirects: int = Field(5, ge=0)
    """Redirects followed for one URL."""
    allow_hosts: list[str] = []
    """Hosts, by name or address, that may have a private address; all others must be on the internet."""
    respect_robots_txt: bool = True
    """Leave alone what a host's robots.txt disallows for our agent (RFC 9309)."""
    respect_x_robots_tag: bool = True
    """Reject what X-Robots-Tag says not to use: noai, noimageai, noindex, noimageindex, noml, none."""
    respect_tdmrep: bool = True
    """Reject what reserves text and data mining rights, by a ``tdm-reservation`` header or /.well-known/tdmrep.json."""

    @property
    def agent(self) -> str:
        """The User-Agent header."""
        if self.user_agent:
            return self.user_agent
        try:
            name = f"{PRODUCT}/{version('showtell')}"
        except PackageNotFoundError:  # run from a checkout that was never installed
            name = PRODUCT
        return f"{name} (+{self.contact})" if self.contact else name

    @property
    def product(self) -> str:
        """The agent's name as robots.txt and X-Robots-Tag address it, in small letters."""
        return self.agent.split("/")[0].split()[0].lower()
