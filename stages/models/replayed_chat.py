"""A chat model that answers only from a log, and notes what it is asked: to show what was said, nothing is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from schemas.errors import Reject
from schemas.storage import Storage
from stages.models.chat import ChatConfig, ChatReply, ChatRequest
from stages.models.identity import identity, together
from stages.models.logged_chat import request_key
from stages.models.response_log import Entry, find_entries

__all__ = ["Exchange", "ReplayedChat"]


@dataclass(frozen=True)
class Exchange:
    """A request and what the log holds of it.

    Attributes:
        request: what was asked. Its hash found the entry: it is to the letter what was sent.
        entry: the reply and its price; None where the log has none.
    """

    request: ChatRequest
    entry: Entry | None


class ReplayedChat:
    """Stands in for ``LoggedChat``.

    Args:
        config: the engine that answered; it is not opened.
        folder: where its replies are kept.

    Attributes:
        exchanges: every request so far, in order.
    """

    def __init__(self, config: ChatConfig, folder: Storage) -> None:
        self._identity, self._together = identity(config), together(config)
        self._folder = folder
        self.exchanges: list[Exchange] = []

    def ask(self, requests: Sequence[ChatRequest], counts: Counter[str]) -> list[ChatReply | Reject]:
        """Return the logged replies; ``llm_error`` where there is none."""
        groups = [requests[start : start + self._together] for start in range(0, len(requests), self._together)]
        keys = [request_key(self._identity, group, place) for group in groups for place in range(len(group))]
        entries = self._find(set(keys))
        self.exchanges += [
            Exchange(request, entries.get(key)) for request, key in zip(requests, keys, strict=True)
        ]
        missing = Reject("llm_error", "the log holds no reply to this")
        return [entries[key].reply if key in entries else missing for key in keys]

    def close(self) -> None:
        """Nothing to give back."""

    def _find(self, keys: Collection[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for entry in find_entries(self._folder, keys):
            found.setdefault(entry.key, entry)
        return found
