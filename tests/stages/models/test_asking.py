"""Asking again where a reply is of no use."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion

from schemas.errors import Reject
from schemas.storage import Storage
from stages.models.asking import QUOTE, ask_until_usable
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message, open_chat
from stages.models.logged_chat import LoggedChat
from stages.models.response_log import ResponseLog


def read(position: int, reply: ChatReply) -> str:
    if reply.finish_reason == "length":
        raise Reject("reply_cut")
    if not reply.text.startswith("good"):
        raise Reject("bad_reply", f"it is not good{QUOTE}{reply.text}")
    if "maybe" in reply.text:
        raise Reject("doubtful", "it says maybe")
    return reply.text


def ask(server: ChatServer, folder: Path, count: int, corrections: int) -> list[str | Reject]:
    chat = LoggedChat(open_chat(ChatConfig(model="m", base_url=server.url)), ResponseLog(Storage(str(folder))))
    requests = [ChatRequest((Message(role="user", content=f"number {n}"),), {}, "x") for n in range(count)]
    return ask_until_usable(chat, requests, read, Counter(), {"bad_reply": corrections, "doubtful": 1})


@pytest.mark.parametrize("corrections", [0, 1, 3])
def test_bad_reply_is_asked_again_so_often(chat_server: ChatServer, tmp_path: Path, corrections: int) -> None:
    """Each time with all bad replies so far and what was wrong, but not a second copy of the reply; then it is left."""
    chat_server.respond = lambda body: completion(f"bad {len(body['messages'])}")
    [outcome] = ask(chat_server, tmp_path, 1, corrections)
    assert isinstance(outcome, Reject)
    assert outcome.reason == "bad_reply"
    assert chat_server.calls == corrections + 1
    said = [message["content"] for message in chat_server.bodies[-1]["messages"]]
    assert said[1::2] == [f"bad {2 * turn + 1}" for turn in range(corrections)]
    assert all("it is not good. Reply again" in text for text in said[2::2])


def test_only_the_bad_ones_are_asked_again(chat_server: ChatServer, tmp_path: Path) -> None:
    """Good replies stand, cut ones are not asked again, and outcomes stay in their places."""

    def respond(body: dict[str, Any]) -> Answer:
        number = int(body["messages"][0]["content"].split()[1])
        if number == 1:
            return completion("half", "length")
        is_first = len(body["messages"]) == 1
        return completion("bad" if number == 2 and is_first else f"good {number}")

    chat_server.respond = respond
    outcomes = ask(chat_server, tmp_path, 4, 2)
    shown = [outcome.reason if isinstance(outcome, Reject) else outcome for outcome in outcomes]
    assert shown == ["good 0", "reply_cut", "good 2", "good 3"]
    assert chat_server.calls == 5


def test_correction_that_does_not_fit_leaves_a_bad_reply(chat_server: ChatServer, tmp_path: Path) -> None:
    """The prompt was not too long: the first reply was bad."""
    error = {"message": "too long", "code": "context_length_exceeded"}
    chat_server.script.extend([completion("bad"), Answer(400, {"error": error})])
    [outcome] = ask(chat_server, tmp_path, 1, 1)
    assert isinstance(outcome, Reject)
    assert outcome.reason == "bad_reply"


@pytest.mark.parametrize(
    ("replies", "reason", "calls"),
    [
        (["good maybe", "good"], None, 2), (["good maybe", "good maybe", "good"], "doubtful", 2),
        (["bad", "good maybe", "good"], None, 3), (["bad", "good maybe", "bad", "good"], "doubtful", 3),
    ],
)
def test_each_reason_has_its_own_number(
    chat_server: ChatServer, tmp_path: Path, replies: list[str], reason: str | None, calls: int
) -> None:
    """A doubtful reply is asked again once, also after a bad one; what comes of it does not undo the reason."""
    chat_server.script.extend(map(completion, replies))
    [outcome] = ask(chat_server, tmp_path, 1, 1)
    assert (outcome.reason if isinstance(outcome, Reject) else None) == reason
    assert chat_server.calls == calls


def test_repeated_request_without_answer_can_be_sent_again(chat_server: ChatServer, tmp_path: Path) -> None:
    """The outcome is that of the server, not of the reply before: asked another day, the first reply is not paid."""
    chat_server.script.extend([completion("good maybe"), *[Answer(500, "oops")] * 5])
    [outcome] = ask(chat_server, tmp_path, 1, 1)
    assert isinstance(outcome, Reject)
    assert outcome.reason == "llm_error"
    before = chat_server.calls
    chat_server.script.clear()
    chat_server.respond = lambda body: completion("good")
    assert ask(chat_server, tmp_path, 1, 1) == ["good"]
    assert chat_server.calls == before + 1
