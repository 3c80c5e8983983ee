"""A chat model whose every reply is on disk before it is used, so that the same request is never sent twice."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from schemas.errors import Reject
from schemas.storage import Storage
from stages.models.budget import Budget
from stages.models.chat import ChatConfig, ChatModel, ChatReply, ChatRequest, Prices, open_chat
from stages.models.response_log import ResponseLog

__all__ = ["LoggedChat", "open_logged_chat", "request_key"]


def open_logged_chat(config: ChatConfig, folder: Storage, actors: int = 1) -> LoggedChat:
    """Open an engine, the log of its replies, and its purse.

    Args:
        config: the settings.
        folder: where the replies are kept.
        actors: the most processes that share the server's rates and the money.

    Raises:
        FatalError: there is no key, or the model does not load.
    """
    log, prices = ResponseLog(folder), config.known_prices()
    gate = None
    if prices is not None and config.max_usd is not None:
        gate = Budget(prices, config.max_usd, config.max_tokens, log, actors)
    return LoggedChat(open_chat(config, folder, gate, actors), log, prices)


class LoggedChat:
    """A chat model that is asked only what no log answers. Several threads may ask at once.

    Args:
        model: the engine.
        log: where its replies are kept.
        prices: what a reply costs; None where that is not known.
    """

    def __init__(self, model: ChatModel, log: ResponseLog, prices: Prices | None = None) -> None:
        self._model = model
        self._log = log
        self._prices = prices
        self._lock = threading.Lock()
        self._asked: dict[str, Future[ChatReply | Reject]] = {}

    def close(self) -> None:
        """Close the engine and the log."""
        self._model.close()
        self._log.close()

    def ask(self, requests: Sequence[ChatRequest], counts: Counter[str]) -> list[ChatReply | Reject]:
        """Return the outcome of each request.

        Engines that answer some requests together are always given the same ones together, all of them if
        one is missing: which replies were logged before must not show in the others.

        Args:
            requests: what to ask; equal ones are sent once, also where another thread is asking them just now.
            counts: ``calls``, ``reused_replies``, ``input_tokens``, ``output_tokens`` and, where prices are known,
                ``usd`` are added to it.

        Raises:
            Paused: the money is used up; every reply that was paid is in the log.
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
        ours, theirs = self._claim(missing)
        outcomes = self._send(ours, counts)
        outcomes |= {name: future.result() for name, future in theirs.items()}
        counts["calls"] += len(ours)
        counts["reused_replies"] += len(keys) - len(ours)
        return [self._log.get(key) or outcomes[key] for key in keys]

    def _claim(
        self, requests: dict[str, ChatRequest]
    ) -> tuple[dict[str, ChatRequest], dict[str, Future[ChatReply | Reject]]]:
        """Part what is missing into what this thread asks and what another one is asking already."""
        with self._lock:
            theirs = {name: self._asked[name] for name in requests if name in self._asked}
            ours = {name: request for name, request in requests.items() if name not in theirs}
            self._asked |= {name: Future() for name in ours}
        return ours, theirs

    def _send(self, requests: dict[str, ChatRequest], counts: Counter[str]) -> dict[str, ChatReply | Reject]:
        """Ask the model; its replies are in the log afterwards. Return the outcomes by key."""
        names = list(requests)
        outcomes: dict[str, ChatReply | Reject] = {}
        failure: BaseException | None = None
        try:
            for position, outcome in self._model.complete(list(requests.values())) if requests else ():
                if isinstance(outcome, ChatReply):
                    self._book(names[position], outcome, counts)
                outcomes[names[position]] = outcome
        except BaseException as error:
            failure = error
            raise
        finally:
            self._log.commit()
            self._announce(names, outcomes, failure)
        return outcomes

    def _book(self, name: str, reply: ChatReply, counts: Counter[str]) -> None:
        usd = self._prices.usd(reply.input_tokens, reply.output_tokens) if self._prices else 0.0
        self._log.append(name, reply, usd)
        counts["input_tokens"] += reply.input_tokens
        counts["output_tokens"] += reply.output_tokens
        if usd:
            counts["usd"] += usd  # type: ignore[assignment]  # a Counter adds fractions as well

    def _announce(
        self, names: Sequence[str], outcomes: dict[str, ChatReply | Reject], failure: BaseException | None
    ) -> None:
        """Tell the threads that wait for the same requests."""
        with self._lock:
            for name in names:
                waiting = self._asked.pop(name)
                if name in outcomes:
                    waiting.set_result(outcomes[name])
                else:
                    waiting.set_exception(failure or RuntimeError("the engine left a request unanswered"))


def request_key(identity: str, group: Sequence[ChatRequest], place: int) -> str:
    """Return what a reply is found by: a hash of the engine, the requests answered together, and which one."""
    asked = [_asked(request) for request in group]
    text = json.dumps([identity, asked, place], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _asked(request: ChatRequest) -> list[Any]:
    image = [] if request.image is None else [hashlib.sha256(request.image).hexdigest()]
    return [request.messages, request.schema, request.schema_name, *image]
