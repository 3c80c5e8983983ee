"""TDM Reservation Protocol: who reserves text and data mining rights.

https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/. The meta tags it also knows are for HTML pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from multidict import MultiMapping
from yarl import URL

from stages.fetching.path_patterns import PathPattern, path_of
from stages.fetching.site_files import Answer
from stages.fetching.verdict import Verdict, shortened

__all__ = ["MAX_BYTES", "PATH", "TdmRep", "header_verdict"]

PATH: Final = "/.well-known/tdmrep.json"
MAX_BYTES: Final = 100 * 1024
RESERVATION: Final = "tdm-reservation"
POLICY: Final = "tdm-policy"


@dataclass(frozen=True, slots=True)
class Reservation:
    """One rule of the file."""

    location: PathPattern
    reserved: bool
    policy: str

    def __str__(self) -> str:
        said = f"{RESERVATION} {int(self.reserved)} for {shortened(self.location.text)}"
        return said + _with_policy(self.reserved, self.policy)


@dataclass(frozen=True)
class TdmRep:
    """One site's /.well-known/tdmrep.json.

    Attributes:
        url: where it stands.
        reservations: its rules, in their order: the first that matches counts.
        otherwise: what was found, for a URL that no rule matches.
    """

    url: str
    reservations: tuple[Reservation, ...]
    otherwise: str

    @classmethod
    def parse(cls, url: str, answer: Answer) -> TdmRep:
        """Read whatever a site has there; what is no such file reserves nothing, and so does a server's failure."""
        if not answer.is_found:
            return cls(url, (), f"HTTP {answer.status}")
        try:
            value = json.loads(answer.text.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            too_long = len(answer.text.encode(errors="replace")) >= MAX_BYTES
            return cls(url, (), f"longer than {MAX_BYTES} bytes" if too_long else "not JSON")
        if not isinstance(value, list):
            return cls(url, (), "not a list")
        return cls(url, tuple(_reservations(value)), "no rule")

    def verdict(self, url: URL) -> Verdict:
        """Tell whether the file lets the URL be used."""
        path = path_of(url)
        for one in self.reservations:
            if one.location.matches(path):
                return Verdict("tdmrep", not one.reserved, f"{self.url}: {one}")
        return Verdict("tdmrep", True, f"{self.url}: {self.otherwise}")


def header_verdict(headers: MultiMapping[str]) -> Verdict | None:
    """Tell whether a response's header lets its body be used; None where it has no such header."""
    values = headers.getall(RESERVATION, ())
    if not values:
        return None
    reserved = any(_is_reserved(item) for value in values for item in value.split(","))
    policy = _with_policy(reserved, headers.get(POLICY, ""))
    return Verdict("tdmrep", not reserved, f"{RESERVATION}: {shortened(', '.join(values))}{policy}")


def _reservations(rules: list[Any]) -> Iterator[Reservation]:
    """Yield what is a rule: without a location, or with a reservation other than 0 and 1, it is none."""
    for rule in rules:
        match rule:
            case {"location": str(location), "tdm-reservation": int() | float() | str() as value} if location:
                reserved = _is_reserved(value)
                if reserved is not None:
                    policy = rule.get(POLICY)
                    yield Reservation(PathPattern.parse(location), reserved, policy if isinstance(policy, str) else "")


def _is_reserved(value: float | str) -> bool | None:
    """Read a reservation, which some sites write in quotes; None where it is neither 0 nor 1."""
    if isinstance(value, bool):
        return None
    meanings: dict[float | str, bool] = {0: False, 1: True, "0": False, "1": True}
    return meanings.get(value.strip() if isinstance(value, str) else value)


def _with_policy(reserved: bool, policy: str) -> str:
    return f", {POLICY} {shortened(policy)}" if reserved and policy else ""
