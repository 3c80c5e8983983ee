"""URLs that stand in several batches: their bodies are kept, so that each is fetched once a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.storage import Storage
from stages.fetching.client import Fetched
from stages.fetching.consent import Verdict
from stages.fetching.machine import MachineLimits

__all__ = ["Kept", "Repeats", "find_repeats"]

Keys = NDArray[np.uint64]


def find_repeats(batches: Iterator[Iterable[str]]) -> pa.Table:
    """Return the keys of the URLs that stand in more than one batch: one column ``url_key``, sorted.

    Eight bytes a URL are in memory at a time: 0.8 GB for a hundred million.
    """
    keys = [np.unique(np.array([_key(url) for url in urls], np.uint64)) for urls in batches]
    found, times = np.unique(np.concatenate([np.zeros(0, np.uint64), *keys]), return_counts=True)
    return pa.table({"url_key": found[times > 1]})


def _key(url: str) -> int:
    return int.from_bytes(hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()[:8], "big")


@dataclass(frozen=True)
class Kept:
    """A body that was fetched before, with what the hosts said about its use."""

    data: bytes
    status: int
    verdicts: list[Verdict]


class Repeats:
    """The kept bodies.

    Args:
        found: what ``find_repeats`` returned.
        folder: where they are kept; a folder of the run directory.
        machine: lets one process at a time fetch a URL.
    """

    def __init__(self, found: pa.Table, folder: Storage, machine: MachineLimits) -> None:
        self.keys: Keys = found["url_key"].to_numpy()
        self.folder = folder
        self.machine = machine

    def holds(self, url: str) -> bool:
        """Tell whether a URL stands in several batches."""
        key = _key(url)
        place = int(np.searchsorted(self.keys, np.uint64(key)))
        return place < len(self.keys) and int(self.keys[place]) == key

    def alone(self, url: str) -> AbstractAsyncContextManager[None]:
        """Wait until no other process of this machine fetches the URL."""
        return self.machine.alone("url", url)

    def read(self, url: str) -> Kept | None:
        """Return the kept body; None if it was not fetched yet."""
        name = f"{_key(url):016x}"
        known = self.folder.read_json(f"{name}.json")
        if known is None:
            return None
        verdicts = [Verdict(**verdict) for verdict in known["verdicts"]]
        return Kept(self.folder.read(name), known["status"], verdicts)

    def keep(self, url: str, fetched: Fetched, verdicts: Iterable[Verdict]) -> None:
        """Keep a body."""
        name = f"{_key(url):016x}"
        self.folder.write(name, fetched.data)
        said = [asdict(verdict) for verdict in verdicts]
        self.folder.write_json(f"{name}.json", {"url": url, "status": fetched.status, "verdicts": said})
