"""robots.txt (RFC 9309): what a site lets which crawler ask for.

Only the group that concerns us is kept while reading. A parser that keeps them all, such as Protego 0.7, gives every
agent a list of its group's rules: 56 kB of agents and rules then cost 12 s and 360 MiB, and the 500 KiB that must be
read did not end within 100 s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from yarl import URL

from stages.fetching.path_patterns import PathPattern, path_of
from stages.fetching.site_files import Answer
from stages.fetching.verdict import Verdict, shortened

__all__ = ["MAX_BYTES", "PATH", "RobotsTxt"]

PATH: Final = "/robots.txt"
MAX_BYTES: Final = 500 * 1024
"""How much is read (RFC 9309, 2.5)."""

AGENT: Final = frozenset({"user-agent", "useragent", "user agent"})
DISALLOW: Final = frozenset({"disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"})
"""With the misspellings that Google's parser takes for it (google/robotstxt)."""
CRAWL_DELAY: Final = frozenset({"crawl-delay", "crawl delay"})
SITE_WIDE: Final = frozenset({"sitemap", "host"})
"""They belong to no group, so they do not end a list of agents."""


@dataclass(frozen=True, slots=True)
class Line:
    """One rule of a group."""

    allows: bool
    pattern: PathPattern

    def __str__(self) -> str:
        return shortened(f"{'Allow' if self.allows else 'Disallow'}: {self.pattern.text}")


@dataclass(eq=False)
class Group:
    """The rules of one agent, put together from everywhere in the file."""

    lines: list[Line] = field(default_factory=list)
    crawl_delay_s: float | None = None
    is_there: bool = False


@dataclass(frozen=True)
class RobotsTxt:
    """One site's rules for one agent.

    Attributes:
        url: where they stand.
        status: HTTP status of the answer.
        lines: rules, the one that counts first: the longest pattern, and of equal ones the one that allows.
        crawl_delay_s: seconds between requests that the site asks for.
    """

    url: str
    status: int
    lines: tuple[Line, ...] = ()
    crawl_delay_s: float | None = None

    @classmethod
    def parse(cls, url: str, answer: Answer, product: str) -> RobotsTxt:
        """Read whatever a site has at /robots.txt.

        Args:
            product: our agent's name, in small letters.
        """
        if not answer.is_found:
            return cls(url, answer.status)
        group = _group_of(product, answer.text)
        lines = sorted(group.lines, key=lambda line: (-len(line.pattern), not line.allows))
        return cls(url, answer.status, tuple(lines), group.crawl_delay_s)

    def verdict(self, url: URL) -> Verdict:
        """Tell whether the URL may be asked: anything where there is no file, nothing where the server fails."""
        if not 200 <= self.status < 300:
            return Verdict("robots_txt", self.status < 500, f"{self.url}: HTTP {self.status}")
        path = path_of(url)
        for line in self.lines:
            if line.pattern.matches(path):
                return Verdict("robots_txt", line.allows, f"{self.url}: {line}")
        return Verdict("robots_txt", True, f"{self.url}: no rule")


def _group_of(product: str, text: str) -> Group:
    """Return the group that names us, else everybody's; all groups of one agent are one (RFC 9309, 2.2.1)."""
    groups = {product: Group(), "*": Group()}
    current: list[Group] = []
    listing = False
    for name, value in _records(text):
        if name in AGENT:
            current = current if listing else []
            listing = True
            group = groups.get(_agent(value))
            if group is not None and group not in current:
                group.is_there = True
                current.append(group)
        elif name not in SITE_WIDE:
            listing = False
            for group in current:
                _add(group, name, value)
    return groups[product] if groups[product].is_there else groups["*"]


def _records(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of every line that has them; some sites leave out the colon."""
    for line in text.lstrip("\ufeff").splitlines():
        record = line.partition("#")[0].strip()
        name, colon, value = record.partition(":")
        if not colon:
            name, _, value = record.partition(" ")
        if name:
            yield name.strip().lower(), value.strip()


def _agent(value: str) -> str:
    """Return an agent's name without what sites add to it: ``Showtell/1.0``, ``showtell*``."""
    words = value.lower().partition("/")[0].split()
    return (words[0].rstrip("*") or "*") if words else ""


def _add(group: Group, name: str, value: str) -> None:
    if value and (name == "allow" or name in DISALLOW):
        group.lines.append(Line(name == "allow", PathPattern.parse(value)))
    elif name in CRAWL_DELAY:
        group.crawl_delay_s = _seconds(value, group.crawl_delay_s)


def _seconds(value: str, otherwise: float | None) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return otherwise
    return seconds if math.isfinite(seconds) and seconds >= 0 else otherwise
