"""Every reply ever paid for, on disk before it is used, so that the same request is never sent twice."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from io import FileIO

from schemas.errors import FatalError, Reject
from schemas.storage import Storage
from stages.models.chat import ChatModel, ChatReply, ChatRequest

__all__ = ["LoggedChat", "ResponseLog", "request_key"]

OBJECT_REPLIES = 64
"""Replies in one object of a store that cannot append; a killed process loses at most so many."""


class LoggedChat:
    """A chat model that is asked only what no log answers.

    Args:
        model: the engine.
        log: where its replies are kept.
    """

    def __init__(self, model: ChatModel, log: ResponseLog) -> None:
        self._model = model
        self._log = log

    def ask(self, requests: Sequence[ChatRequest], counts: Counter[str]) -> list[ChatReply | Reject]:
        """Return the outcome of each request.

        Engines that answer some requests together are always given the same ones together, all of them if
        one is missing: which replies were logged before must not show in the others.

        Args:
            requests: what to ask; equal ones are sent once.
            counts: ``calls``, ``reused_replies``, ``input_tokens`` and ``output_tokens`` are added to it.
        """
        self._log.refresh()
        keys: list[str] = []
        missing: dict[str, ChatRequest] = {}
        for start in range(0, len(requests), self._model.together):
            group = requests[start : start + self._model.together]
            names = [request_key(self._model.identity, group, place) for place in range(len(group))]
            keys += names
            if any(self._log.get(name) is None for name in names):
                missing.update(zip(names, group, strict=True))
        rejects = self._send(missing, counts) if missing else {}
        counts["calls"] += len(missing)
        counts["reused_replies"] += len(keys) - len(missing)
        return [self._log.get(key) or rejects[key] for key in keys]

    def _send(self, requests: dict[str, ChatRequest], counts: Counter[str]) -> dict[str, Reject]:
        """Ask the model; its replies are in the log afterwards, its rejects are returned by key."""
        names = list(requests)
        rejects: dict[str, Reject] = {}
        try:
            for position, outcome in self._model.complete(list(requests.values())):
                if isinstance(outcome, Reject):
                    rejects[names[position]] = outcome
                    continue
                self._log.append(names[position], outcome)
                counts["input_tokens"] += outcome.input_tokens
                counts["output_tokens"] += outcome.output_tokens
        finally:
            self._log.commit()
        return rejects


def request_key(identity: str, group: Sequence[ChatRequest], place: int) -> str:
    """Return what a reply is found by: a hash of the engine, the requests answered together, and which one."""
    asked = [[request.messages, request.schema, request.schema_name] for request in group]
    text = json.dumps([identity, asked, place], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class ResponseLog:
    """JSON lines files of replies by request key: append-only, one writer a file.

    A killed writer leaves at most half a line at the end of its file, which is never read. Where the same
    request was answered twice (two actors at the same moment), the reply that was read first counts.

    Args:
        folder: where the files are, of this and every earlier process.
    """

    def __init__(self, folder: Storage) -> None:
        self._folder = folder
        self._replies: dict[str, ChatReply] = {}
        self._read: dict[str, int] = {}
        self._own: set[str] = set()
        self._file: FileIO | None = None
        self._pending: list[bytes] = []
        self.refresh()

    def get(self, key: str) -> ChatReply | None:
        """Return the reply to a request, or None if there has been none."""
        return self._replies.get(key)

    def refresh(self) -> None:
        """Read what other processes have appended since."""
        for name in self._folder.names():
            is_news = name not in self._own and (self._folder.is_local or name not in self._read)
            if name.endswith(".jsonl") and is_news:
                self._read_on(name)

    def _read_on(self, name: str) -> None:
        start = self._read.get(name, 0)
        with self._folder.open(name) as file:
            file.seek(start)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read[name] = start + len(whole) + len(newline)
        for line in whole.splitlines():
            key, reply = self._parse(name, line)
            self._replies.setdefault(key, reply)

    def _parse(self, name: str, line: bytes) -> tuple[str, ChatReply]:
        try:
            entry = json.loads(line)
            return entry.pop("key"), ChatReply(**entry)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            shown = f"{self._folder.path(name)} holds a line that is no reply: {line[:60]!r}"
            raise FatalError(f"{shown} (delete the line; its request is sent again)") from error

    def append(self, key: str, reply: ChatReply) -> None:
        """Keep a reply: written at once to a local file, whatever happens to this process afterwards.

        Raises:
            FatalError: the disk is full or lost.
        """
        if key in self._replies:
            return
        line = json.dumps({"key": key, **asdict(reply)}).encode() + b"\n"
        if self._folder.is_local:
            self._write(line)
        else:
            self._pending.append(line)
            if len(self._pending) >= OBJECT_REPLIES:
                self.commit()
        self._replies[key] = reply

    def commit(self) -> None:
        """Make everything appended so far outlast a power cut."""
        try:
            if self._file is not None:
                os.fsync(self._file.fileno())
            if self._pending:
                self._folder.write(self._new_name(), b"".join(self._pending))
                self._pending.clear()
        except OSError as error:
            raise FatalError(f"cannot keep replies in {self._folder.url}: {error}") from error

    def _write(self, line: bytes) -> None:
        try:
            if self._file is None:
                os.makedirs(self._folder.root, exist_ok=True)
                self._file = FileIO(self._folder.path(self._new_name()), "ab")
            if self._file.write(line) != len(line):
                raise OSError("only part of a reply was written")
        except OSError as error:
            raise FatalError(f"cannot keep replies in {self._folder.url}: {error}") from error

    def _new_name(self) -> str:
        name = f"{uuid.uuid4().hex}.jsonl"
        self._own.add(name)
        return name
