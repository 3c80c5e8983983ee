"""Every reply ever paid for, in files that are only appended to."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from schemas.errors import FatalError
from schemas.storage import Storage
from stages.models.chat import ChatReply

__all__ = ["Entry", "ResponseLog", "find_entries", "read_entries"]

SUFFIX = ".jsonl"

OBJECT_REPLIES = 64
"""Replies in one object of a store that cannot append; a killed process loses at most so many."""


@dataclass(frozen=True)
class Entry:
    """One line of a log: a request's key, the reply, and what it cost in dollars (0 where no price was known)."""

    key: str
    reply: ChatReply
    usd: float

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """Parse a line; raises ValueError, TypeError, KeyError or AttributeError where it is no entry."""
        fields = json.loads(line)
        return cls(fields.pop("key"), usd=fields.pop("usd", 0.0), reply=ChatReply(**fields))

    def line(self) -> bytes:
        """Return the line."""
        return json.dumps({"key": self.key, **self.reply.__dict__, "usd": self.usd}).encode() + b"\n"


def read_entries(folder: Storage) -> Iterator[Entry]:
    """Yield every reply of a folder, in no order; half a line that a killed writer left is passed over."""
    for name in folder.names():
        if name.endswith(SUFFIX):
            with folder.open(name) as file:
                yield from (Entry.read(line) for line in file if line.endswith(b"\n"))


def find_entries(folder: Storage, keys: Collection[str]) -> Iterator[Entry]:
    """Yield the replies to some requests, in no order; the other lines of the log are not parsed."""
    wanted = {f'{{"key": "{key}"'.encode() for key in keys}
    length = max(map(len, wanted), default=0)
    for name in folder.names() if wanted else ():
        if name.endswith(SUFFIX):
            with folder.open(name) as file:
                yield from (Entry.read(line) for line in file if line[:length] in wanted and line.endswith(b"\n"))


class ResponseLog:
    """JSON lines files of replies by request key: append-only, one writer a file.

    A killed writer leaves at most half a line at the end of its file, which is never read. Where the same
    request was answered twice (two actors at the same moment), the reply that was read first counts.

    Args:
        folder: where the files are, of this and every earlier process.
    """

    def __init__(self, folder: Storage) -> None:
        self.folder = folder
        self._replies: dict[str, ChatReply] = {}
        self._usd: dict[str, float] = {}
        self._read: dict[str, int] = {}
        self._own: set[str] = set()
        self._file: FileIO | None = None
        self._pending: list[bytes] = []
        self._lock = threading.RLock()
        self.refresh()

    def get(self, key: str) -> ChatReply | None:
        """Return the reply to a request, or None if there has been none."""
        return self._replies.get(key)

    def spent(self) -> dict[str, float]:
        """Return the dollars in each file of other processes, as far as read."""
        return dict(self._usd)

    def refresh(self) -> None:
        """Read what other processes have appended since."""
        with self._lock:
            for name in self.folder.names():
                is_news = name not in self._own and (self.folder.is_local or name not in self._read)
                if name.endswith(SUFFIX) and is_news:
                    self._read_on(name)

    def _read_on(self, name: str) -> None:
        start = self._read.get(name, 0)
        with self.folder.open(name) as file:
            file.seek(start)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read[name] = start + len(whole) + len(newline)
        for line in whole.splitlines():
            entry = self._parse(name, line)
            self._replies.setdefault(entry.key, entry.reply)
            self._usd[name] = self._usd.get(name, 0.0) + entry.usd

    def _parse(self, name: str, line: bytes) -> Entry:
        try:
            return Entry.read(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            shown = f"{self.folder.path(name)} holds a line that is no reply: {line[:60]!r}"
            raise FatalError(f"{shown} (delete the line; its request is sent again)") from error

    def append(self, key: str, reply: ChatReply, usd: float = 0.0) -> None:
        """Keep a reply and its price: written at once to a local file, whatever happens to this process afterwards.

        Raises:
            FatalError: the disk is full or lost.
        """
        with self._lock:
            if key in self._replies:
                return
            line = Entry(key, reply, usd).line()
            if self.folder.is_local:
                self._write(line)
            else:
                self._pending.append(line)
                if len(self._pending) >= OBJECT_REPLIES:
                    self.commit()
            self._replies[key] = reply

    def commit(self) -> None:
        """Make everything appended so far outlast a power cut."""
        try:
            with self._lock:
                file = self._file
                if self._pending:
                    self.folder.write(self._new_name(), b"".join(self._pending))
                    self._pending.clear()
            if file is not None:
                os.fsync(file.fileno())
        except OSError as error:
            raise FatalError(f"cannot keep replies in {self.folder.url}: {error}") from error

    def close(self) -> None:
        """Commit and let go of the file."""
        self.commit()
        if self._file is not None:
            self._file.close()
            self._file = None

    def own_file(self) -> str:
        """Return the name of this process's file in a local folder; as long as it is open it is locked."""
        with self._lock:
            if self._file is None:
                os.makedirs(self.folder.root, exist_ok=True)
                name = self._new_name()
                self._file = FileIO(self.folder.path(name), "ab")
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Path(str(self._file.name)).name

    def is_in_use(self, name: str) -> bool:
        """Tell whether the process that writes a file lives; only in a local folder."""
        if not self.folder.exists(name):
            return False
        with open(self.folder.path(name), "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _write(self, line: bytes) -> None:
        try:
            self.own_file()
            if self._file is None or self._file.write(line) != len(line):
                raise OSError("only part of a reply was written")
        except OSError as error:
            raise FatalError(f"cannot keep replies in {self.folder.url}: {error}") from error

    def _new_name(self) -> str:
        name = f"{uuid.uuid4().hex}{SUFFIX}"
        self._own.add(name)
        return name
