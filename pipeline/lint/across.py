"""What only shows when rows are compared: conversations that are there twice, samples and clusters in two splits."""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.lint.problems import Report

__all__ = ["AcrossRows"]

NONE = 0
"""Stands for no value."""


class AcrossRows:
    """Keeps 25 bytes of every row: 64-bit hashes, which at a million rows are mistaken once in 10 million datasets."""

    def __init__(self) -> None:
        self._samples, self._conversations, self._clusters = array("Q"), array("Q"), array("Q")
        self._splits = array("B")
        self._names: list[str] = []
        self._files: list[str] = []
        self._firsts: list[int] = []

    def begin(self, file: str, split: str) -> None:
        """Begin a file."""
        if split not in self._names:
            self._names.append(split)
        self._files.append(file)
        self._firsts.append(len(self._samples))
        self._split = self._names.index(split)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the next row of the file."""
        said = json.dumps([row["id"], row["kind"], row["messages"]])
        self._samples.append(_hash(row["id"] or ""))
        self._conversations.append(_hash(said))
        cluster = row.get("duplicate_cluster")
        self._clusters.append(NONE if cluster is None else _hash(cluster))
        self._splits.append(self._split)

    @property
    def samples(self) -> int:
        """How many samples the rows are about."""
        return int(np.unique(np.asarray(self._samples)).size)

    def tell(self, report: Report) -> None:
        """Add what is wrong to the report."""
        splits = np.asarray(self._splits)
        for row, first in _repeated(np.asarray(self._conversations)):
            self._add(report, row, "unique", f"the same id, kind and messages as {self._place(first)}")
        for check, hashes in (("sample_in_two_splits", self._samples), ("cluster_in_two_splits", self._clusters)):
            for row, first in _elsewhere(np.asarray(hashes), splits):
                what = "sample" if check == "sample_in_two_splits" else "duplicate cluster"
                other = self._names[splits[first]]
                self._add(report, row, check, f"its {what} is in {other} too: {self._place(first)}")

    def _add(self, report: Report, row: int, check: str, message: str) -> None:
        file, number = self._where(row)
        report.add(file, check, message, number)

    def _place(self, row: int) -> str:
        return "{}: row {}".format(*self._where(row))

    def _where(self, row: int) -> tuple[str, int]:
        file = bisect_right(self._firsts, row) - 1
        return self._files[file], row - self._firsts[file]


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) or 1


def _groups(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows, and for each the first row with its hash."""
    _, firsts, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return np.arange(hashes.size), firsts[inverse]


def _repeated(hashes: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Yield every row whose hash an earlier row has, and the first of those."""
    rows, firsts = _groups(hashes)
    for row in rows[firsts != rows]:
        yield int(row), int(firsts[row])


def _elsewhere(hashes: NDArray[np.uint64], splits: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield every row that is in another split than the first row with its hash, and that one."""
    rows, firsts = _groups(hashes)
    for row in rows[(hashes != NONE) & (splits != splits[firsts])]:
        yield int(row), int(firsts[row])
