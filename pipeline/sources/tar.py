"""Tar archives from strangers, read from front to back, and never extracted.

``tarfile`` reads headers of any length into memory, follows links, takes a broken header in the middle for the end,
and older versions loop for ever on some archives (CVE-2024-6232, CVE-2025-8194). So only its parser of single header
blocks is used here. The format is that of POSIX.1-2001 (pax) and GNU tar.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

__all__ = ["BrokenTarError", "Member", "TarReader"]

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER_BYTES = 1 << 20
"""Longest extended header. Real ones hold a long name, and take less than a kilobyte."""
GZIP = b"\x1f\x8b"
LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
WITHOUT_DATA = (*LINKS, *DEVICES, tarfile.DIRTYPE)
"""Whatever size their headers give."""
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
PASSED_OVER = (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK)
"""Headers about all members, and targets of links: nothing here depends on them."""


class BrokenTarError(Exception):
    """The archive cannot be read any further."""


@dataclass(frozen=True)
class Member:
    """What an archive says about one of its members.

    Attributes:
        name: its path, as given: not to be trusted.
        size: its bytes.
        oddity: what it is instead of a plain file, such as ``a link``; empty for a plain file.
        is_folder: it is a folder.
    """

    name: str
    size: int
    oddity: str = ""
    is_folder: bool = False


class TarReader:
    """Iterates over the members of a tar file, gzipped or not; ``read`` gives the bytes of the one just met.

    Iterating and ``read`` raise BrokenTarError. Memory holds one member at most, and only where it is read.
    """

    def __init__(self, file: str) -> None:
        plain = open(file, "rb")  # noqa: SIM115 - closed by __exit__
        is_gzip = plain.peek(len(GZIP)).startswith(GZIP)
        self.plain = plain
        self.stream = cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if is_gzip else plain
        self.waiting = 0
        self.padding = 0

    def __enter__(self) -> TarReader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.plain.close()

    def __iter__(self) -> Iterator[Member]:
        extended: dict[str, str] = {}
        while (header := self._header()) is not None:
            if header.type in PAX:
                extended |= _records(self._extension())
            elif header.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = _text(self._extension().partition(b"\0")[0])
            elif header.type not in PASSED_OVER:
                yield self._member(header, extended)
                extended = {}
            self._skip()

    def read(self) -> bytes:
        """Return the bytes of the current member."""
        data = self._exactly(self.waiting)
        self.waiting = 0
        return data

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header; None at the end mark."""
        block = self._exactly(BLOCK)
        if block.count(0) == BLOCK:
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except (tarfile.HeaderError, ValueError) as error:
            raise BrokenTarError(f"no tar header: {error}") from error
        if header.type == tarfile.GNUTYPE_SPARSE:
            more = block[482]  # whether the map of its holes goes on in further blocks
            while more:
                more = self._exactly(BLOCK)[504]
        self._expect(0 if header.type in WITHOUT_DATA else header.size)
        return header

    def _expect(self, size: int) -> None:
        """Note how many bytes follow before the next header."""
        if size < 0:
            raise BrokenTarError(f"a member of {size} bytes")
        self.waiting, self.padding = size, -size % BLOCK

    def _member(self, header: tarfile.TarInfo, extended: dict[str, str]) -> Member:
        size = extended.get("size")
        if size is not None and header.type not in WITHOUT_DATA:
            if not size.isascii() or not size.isdecimal() or len(size) > 19:
                raise BrokenTarError(f"a member of {size[:40]!r} bytes")
            self._expect(int(size))
        oddity = ""
        if header.type == tarfile.GNUTYPE_SPARSE or any(name.startswith("GNU.sparse.") for name in extended):
            oddity = "a sparse file"
        elif header.type in LINKS:
            oddity = "a link"
        elif header.type in DEVICES:
            oddity = "a device"
        return Member(extended.get("path", header.name), self.waiting, oddity, header.isdir())

    def _extension(self) -> bytes:
        if self.waiting > MAX_HEADER_BYTES:
            raise BrokenTarError(f"a header of {self.waiting} bytes")
        return self.read()

    def _skip(self) -> None:
        """Go to the next header. The last byte is read: seeking beyond the end would not be noticed."""
        rest = self.waiting + self.padding
        self.waiting = self.padding = 0
        if rest:
            try:
                self.stream.seek(rest - 1, 1)
            except (OSError, EOFError, OverflowError, zlib.error) as error:
                raise BrokenTarError(str(error)) from error
            self._exactly(1)

    def _exactly(self, size: int) -> bytes:
        try:
            data = self.stream.read(size)
        except (OSError, EOFError, OverflowError, zlib.error) as error:
            raise BrokenTarError(str(error)) from error
        if len(data) < size:
            raise BrokenTarError("it ends too early")
        return data


def _records(data: bytes) -> dict[str, str]:
    """Return a pax header's records, each ``LENGTH NAME=VALUE`` and a line's end; the length counts all of it."""
    records = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        digits = data[at : max(at, space)]
        end = at + int(digits) if digits.isdigit() else 0
        name, equals, value = data[space + 1 : end].partition(b"=")
        if end > len(data) or not equals or not value.endswith(b"\n"):
            raise BrokenTarError("a broken pax header")
        records[_text(name)] = _text(value[:-1])
        at = end
    return records


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
