"""Ask for something, and ask again where the reply is of no use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from schemas.errors import Reject
from stages.models.chat import ChatReply, ChatRequest, Message

__all__ = ["QUOTE", "Chat", "ask_until_usable"]

T = TypeVar("T")

QUOTE = "; it begins "
"""In a reject's detail: what follows quotes the reply, which the model need not be told."""


class Chat(Protocol):
    """Whom a stage asks: ``LoggedChat``, or what stands in for it."""

    def ask(self, requests: Sequence[ChatRequest], counts: Counter[str]) -> list[ChatReply | Reject]:
        """Return the outcome of each request; calls and tokens are added to ``counts``."""

    def close(self) -> None:
        """Give back what it holds."""


def ask_until_usable(
    chat: Chat,
    requests: Sequence[ChatRequest],
    read: Callable[[int, ChatReply], T],
    counts: Counter[str],
    times: Mapping[str, int],
) -> list[T | Reject]:
    """Return what each reply says; one of no use is asked again, with itself and what is wrong with it.

    A repeated request that brings nothing better leaves the reason of the earlier reply. One that is never answered
    does not: it can be sent again another day.

    Args:
        chat: whom to ask.
        requests: what to ask.
        read: makes something of the reply to the request at a position; raises Reject where it cannot.
        counts: calls and tokens are added to it.
        times: how often the same request may be asked again, by the reason of the Reject, from the worst reason on.
    """
    outcomes: dict[int, T | Reject] = {}
    asked_again = [Counter[str]() for _ in requests]
    waiting = dict(enumerate(requests))
    while waiting:
        replies = chat.ask(list(waiting.values()), counts)
        again: dict[int, ChatRequest] = {}
        for (position, request), reply in zip(waiting.items(), replies, strict=True):
            outcome = _outcome(read, position, reply)
            if _is_worse(outcome, outcomes.get(position), list(times), is_reply=isinstance(reply, ChatReply)):
                continue
            outcomes[position] = outcome
            if not isinstance(reply, ChatReply) or not isinstance(outcome, Reject):
                continue
            if asked_again[position][outcome.reason] < times.get(outcome.reason, 0):
                asked_again[position][outcome.reason] += 1
                again[position] = _corrected(request, reply.text, outcome)
        waiting = again
    return [outcomes[position] for position in range(len(requests))]


def _outcome(read: Callable[[int, ChatReply], T], position: int, reply: ChatReply | Reject) -> T | Reject:
    if isinstance(reply, Reject):
        return reply
    try:
        return read(position, reply)
    except Reject as reject:
        return reject


def _is_worse(outcome: object, earlier: object, reasons: Sequence[str], *, is_reply: bool) -> bool:
    """Tell whether a repeated request came to less than what was asked again about.

    Args:
        outcome: what it came to.
        earlier: what the request before it came to, if there was one.
        reasons: from the worst to the least bad; any other is worse still.
        is_reply: the repeated request was answered.
    """
    if not isinstance(outcome, Reject) or not isinstance(earlier, Reject):
        return False
    if not is_reply:  # too long only because of the earlier reply
        return outcome.reason == "prompt_too_long"
    return outcome.reason not in reasons or reasons.index(outcome.reason) < reasons.index(earlier.reason)


def _corrected(request: ChatRequest, reply: str, reject: Reject) -> ChatRequest:
    """Return the request with the reply and what is wrong with it."""
    problem = reject.detail.partition(QUOTE)[0]
    correction = f"That reply cannot be used. {problem}. Reply again, with JSON only; mend that and keep the rest."
    messages = (
        *request.messages,
        Message(role="assistant", content=reply),
        Message(role="user", content=correction),
    )
    return replace(request, messages=messages)
