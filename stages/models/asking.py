"""Ask for something, and ask again where the reply is of no use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from schemas.errors import Reject
from stages.models.chat import ChatReply, ChatRequest, Message
from stages.models.logged_chat import LoggedChat

__all__ = ["QUOTE", "ask_until_usable"]

T = TypeVar("T")

BAD = "bad_reply"
QUOTE = "; it begins "
"""In a reject's detail: what follows quotes the reply, which the model need not be told."""


def ask_until_usable(
    chat: LoggedChat,
    requests: Sequence[ChatRequest],
    read: Callable[[int, ChatReply], T],
    counts: Counter[str],
    corrections: int,
) -> list[T | Reject]:
    """Return what each reply says; a bad one is asked again, with itself and what is wrong with it.

    Args:
        chat: whom to ask.
        requests: what to ask.
        read: makes something of the reply to the request at a position; raises Reject where it cannot, with the
            reason ``bad_reply`` where asking again may help.
        counts: calls and tokens are added to it.
        corrections: how often a bad reply is asked again.
    """
    outcomes: list[T | Reject] = [Reject(BAD)] * len(requests)
    open_requests = dict(enumerate(requests))
    for turn in range(corrections + 1):
        replies = chat.ask(list(open_requests.values()), counts)
        again: dict[int, ChatRequest] = {}
        for (position, request), reply in zip(open_requests.items(), replies, strict=True):
            outcome = _outcome(read, position, reply)
            # A second request that is too long only because of the first reply is still a bad reply.
            if not (turn and isinstance(outcome, Reject) and outcome.reason == "prompt_too_long"):
                outcomes[position] = outcome
            if isinstance(reply, ChatReply) and isinstance(outcome, Reject) and outcome.reason == BAD:
                again[position] = _corrected(request, reply.text, outcome)
        open_requests = again
    return outcomes


def _outcome(read: Callable[[int, ChatReply], T], position: int, reply: ChatReply | Reject) -> T | Reject:
    if isinstance(reply, Reject):
        return reply
    try:
        return read(position, reply)
    except Reject as reject:
        return reject


def _corrected(request: ChatRequest, reply: str, reject: Reject) -> ChatRequest:
    """Return the request with the bad reply and what is wrong with it."""
    problem = reject.detail.partition(QUOTE)[0]
    correction = f"That reply cannot be used. {problem}. Reply again, with the corrected JSON only."
    messages = (
        *request.messages,
        Message(role="assistant", content=reply),
        Message(role="user", content=correction),
    )
    return replace(request, messages=messages)
