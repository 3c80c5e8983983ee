"""The columns duplicates are found by, gathered from all parts in a few bytes a row."""

from __future__ import annotations

from collections.abc import Iterable
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.errors import FatalError
from stages.duplicates.cosine import Vectors
from stages.duplicates.hamming import Rows

__all__ = ["HexColumn", "VectorColumn", "hex_words"]

Words = NDArray[np.uint64]
DIGITS = 16
"""Hexadecimal digits of a 64-bit word."""


def hex_words(texts: Iterable[str], name: str, words: int = 1) -> Words:
    """Return the first words of hexadecimal texts, (texts, words).

    Raises:
        FatalError: a text is not hexadecimal, or too short; the message names the column and the text.
    """
    cut = [text[: DIGITS * words] for text in texts]
    try:
        data = bytes.fromhex("".join(cut))
        if any(len(text) != DIGITS * words for text in cut):
            raise ValueError
    except ValueError:
        wrong = next(text for text in cut if not _is_hex(text, DIGITS * words))
        raise FatalError(f"{name} = {wrong[:70]!r}: must be at least {DIGITS * words} hexadecimal digits") from None
    return np.frombuffer(data, ">u8").astype(np.uint64).reshape(-1, words)


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and all(sign in "0123456789abcdefABCDEF" for sign in text)


class HexColumn:
    """A column of hexadecimal texts as 64-bit words; rows without a text are left out.

    Args:
        name: the column.
        words: words kept of each text.
    """

    def __init__(self, name: str, words: int) -> None:
        self.name, self.words_each = name, words
        self._rows: list[Rows] = []
        self._words: list[Words] = []

    def add(self, column: pa.ChunkedArray, first_row: int) -> None:
        """Add a part's column, whose first row has the number ``first_row``."""
        self._rows.append(first_row + np.flatnonzero(column.is_valid().to_numpy()))
        self._words.append(hex_words(column.drop_null().to_pylist(), self.name, self.words_each))

    def gathered(self) -> tuple[Rows, Words]:
        """Return the numbers of the rows with a text, (n,), and their words, (n, words)."""
        empty = np.zeros((0, self.words_each), np.uint64)
        rows, words = np.concatenate([np.zeros(0, np.int64), *self._rows]), np.concatenate([empty, *self._words])
        self._rows, self._words = [], []
        return rows, words


class VectorColumn:
    """A column of embeddings, brought to length 1, as float16 in a temporary file: memory holds a part at a time.

    Args:
        name: the column.
        folder: where the file is made; by default the machine's folder for temporary files.
    """

    def __init__(self, name: str, folder: str | None = None) -> None:
        self.name = name
        self.size = 0
        self._rows: list[Rows] = []
        self._file: Any = TemporaryFile(dir=folder, prefix=".embeddings-")  # noqa: SIM115

    def add(self, column: pa.ChunkedArray, first_row: int) -> None:
        """Add a part's column; raises FatalError where it does not hold vectors of one size."""
        valid = column.is_valid().to_numpy()
        vectors = self._vectors(column.drop_null().combine_chunks())
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        pointing = np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)
        self._rows.append(first_row + np.flatnonzero(valid)[pointing])
        self._file.write((vectors[pointing] / lengths[pointing]).astype(np.float16).tobytes())

    def _vectors(self, column: pa.Array) -> NDArray[np.float32]:
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
                or pa.types.is_fixed_size_list(column.type)):
            raise FatalError(f"{self.name}: holds {column.type}, not embeddings")
        sizes = pc.unique(pc.list_value_length(column)).to_pylist()
        self.size = self.size or next(iter(sizes), 0)
        if any(size != self.size for size in sizes):
            raise FatalError(f"{self.name}: holds embeddings of {self.size} and of {max(sizes)} numbers")
        flat: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        return flat.reshape(len(column), self.size)

    def gathered(self) -> tuple[Rows, Vectors]:
        """Return the numbers of the rows with an embedding, (n,), and the embeddings, (n, size), mapped to memory."""
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        self._file.flush()
        if not len(rows):
            return rows, np.zeros((0, 1), np.float16)
        return rows, np.memmap(self._file, np.float16, "r", shape=(len(rows), self.size))
