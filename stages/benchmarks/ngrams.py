"""Which texts share a run of words with a benchmark's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Keys", "text_keys"]

Keys = NDArray[np.uint64]
WORD = re.compile(r"[^\W_]+")


def text_keys(text: str, length: int, shortest: int) -> Keys:
    """Return 64-bit digests of every run of ``length`` words of a text, whatever their case and punctuation.

    A text of fewer words, but at least ``shortest``, has one key, of all its words: it equals only such a text as a
    whole. The length of 13 words is GPT-3's (Brown et al. 2020, arXiv 2005.14165, appendix C).
    """
    words = WORD.findall(text.casefold())
    if len(words) < shortest:
        return np.zeros(0, np.uint64)
    runs = _runs(words, length) if len(words) >= length else iter([["short", *words]])
    digests = (hashlib.blake2b(" ".join(run).encode("utf-8", "surrogatepass"), digest_size=8).digest() for run in runs)
    return np.frombuffer(b"".join(digests), np.uint64)


def _runs(words: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    return (words[start : start + length] for start in range(len(words) - length + 1))
