"""The OpenAI engine against a real HTTP server."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion

from schemas.errors import FatalError, Reject
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message, open_chat
from stages.models.chat_openai import OpenAIChat

SCHEMA = {"type": "object", "properties": {"description": {"type": "string"}}}


def request(text: str = "Write: detail") -> ChatRequest:
    system, user = Message(role="system", content="Reply with JSON."), Message(role="user", content=text)
    return ChatRequest((system, user), SCHEMA, "detail")


def config(server: ChatServer, **settings: Any) -> ChatConfig:
    return ChatConfig(model="tiny", base_url=server.url, **settings)


def outcome(chat_config: ChatConfig) -> ChatReply | Reject:
    [(position, answer)] = OpenAIChat(chat_config).complete([request()])
    assert position == 0
    return answer


def test_reply_and_usage_come_back(chat_server: ChatServer) -> None:
    """A completion becomes a reply with its text, finish reason and tokens."""
    chat_server.script.append(completion("hello"))
    assert outcome(config(chat_server)) == ChatReply("hello", "stop", 10, 5)


def test_settings_and_schema_are_sent(chat_server: ChatServer) -> None:
    """Sampling settings, the key and a strict JSON schema reach the server."""
    outcome(config(chat_server, temperature=0.5, max_tokens=77, seed=3, api_key="secret-key"))
    [body] = chat_server.bodies
    assert (body["model"], body["temperature"], body["max_tokens"], body["seed"]) == ("tiny", 0.5, 77, 3)
    schema = {"name": "detail", "schema": SCHEMA, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert chat_server.authorizations == ["Bearer secret-key"]


def test_key_stays_out_of_what_is_shown(chat_server: ChatServer) -> None:
    """Neither the printed config nor the identity of the engine holds the key."""
    chat_config = config(chat_server, api_key="secret-key")
    shown = f"{chat_config!r} {chat_config.model_dump_json()} {OpenAIChat(chat_config).identity}"
    assert "secret-key" not in shown


def test_every_position_comes_once(chat_server: ChatServer) -> None:
    """Concurrent requests come back in any order, each with its own reply."""
    chat_server.respond = lambda body: completion(body["messages"][1]["content"].upper())
    requests = [request(f"text {number}") for number in range(30)]
    answers = dict(OpenAIChat(config(chat_server)).complete(requests))
    texts = [answer.text for _, answer in sorted(answers.items()) if isinstance(answer, ChatReply)]
    assert texts == [f"TEXT {number}" for number in range(30)]


def test_concurrency_is_bounded(chat_server: ChatServer) -> None:
    """No more requests are in flight than the setting allows, and more than one is."""

    def slow(body: dict[str, Any]) -> Answer:
        time.sleep(0.05)
        return completion("x")

    chat_server.respond = slow
    list(OpenAIChat(config(chat_server, concurrency=3)).complete([request()] * 12))
    assert 1 < chat_server.most_at_once <= 3


@pytest.mark.parametrize("answer", [Answer(429, {}, {"Retry-After": "0.05"}), Answer(500, "oops")])
def test_passing_failure_is_retried(chat_server: ChatServer, answer: Answer) -> None:
    """After a 429 with Retry-After, or a 500, the request is sent again."""
    chat_server.script.append(answer)
    assert isinstance(outcome(config(chat_server)), ChatReply)
    assert chat_server.calls == 2


def test_lasting_failure_costs_one_request(chat_server: ChatServer) -> None:
    """A request that fails after all retries is rejected; the one beside it is answered."""
    chat_server.respond = lambda body: (
        Answer(500, "oops") if body["messages"][1]["content"] == "bad" else completion("fine")
    )
    answers = dict(OpenAIChat(config(chat_server, retries=0)).complete([request("bad"), request("good")]))
    assert isinstance(answers[0], Reject)
    assert answers[0].reason == "llm_error"
    assert isinstance(answers[1], ChatReply)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_wrong_key_or_model_stops_the_run(chat_server: ChatServer, status: int) -> None:
    """One line names the server and the model."""
    chat_server.script.append(Answer(status, {"error": {"message": "no\nsuch thing"}}))
    with pytest.raises(FatalError, match=r"127\.0\.0\.1.*tiny") as caught:
        outcome(config(chat_server))
    assert "\n" not in str(caught.value)


def test_missing_key_stops_the_run(chat_server: ChatServer) -> None:
    """OpenAI's own server needs a key; the message says where to put it."""
    with pytest.raises(FatalError, match="OPENAI_API_KEY"):
        open_chat(ChatConfig(model="gpt"))


@pytest.mark.parametrize("known", ["json_object", None])
def test_server_without_schemas_is_asked_more_simply(chat_server: ChatServer, known: str | None) -> None:
    """A 400 about the response format leads to the next simpler one, remembered afterwards."""

    def respond(body: dict[str, Any]) -> Answer:
        if body.get("response_format", {}).get("type") == known:
            return completion("fine")
        return Answer(400, {"error": {"message": "response_format is not supported"}})

    chat_server.respond = respond
    chat = OpenAIChat(config(chat_server))
    assert isinstance(dict(chat.complete([request()]))[0], ChatReply)
    before = chat_server.calls
    assert isinstance(dict(chat.complete([request()]))[0], ChatReply)
    assert (before, chat_server.calls - before) == (2 if known else 3, 1)


def test_other_bad_request_is_not_asked_again(chat_server: ChatServer) -> None:
    """A 400 about something else costs its request at once; one about length says so."""
    error = {"message": "too many tokens", "code": "context_length_exceeded"}
    chat_server.script.extend([Answer(400, {"error": {"message": "bad"}}), Answer(400, {"error": error})])
    first, second = outcome(config(chat_server)), outcome(config(chat_server))
    assert isinstance(first, Reject)
    assert isinstance(second, Reject)
    assert (first.reason, second.reason, chat_server.calls) == ("llm_error", "prompt_too_long", 2)


def test_nobody_there_is_unreachable() -> None:
    """A refused connection rejects the request and names the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        answer = outcome(ChatConfig(model="tiny", base_url=url, retries=0))
    assert isinstance(answer, Reject)
    assert answer.reason == "llm_unreachable"
    assert url in answer.detail


def test_silent_server_is_given_up(chat_server: ChatServer) -> None:
    """A server that does not answer in time costs the request."""

    def late(body: dict[str, Any]) -> Answer:
        time.sleep(0.5)
        return completion("late")

    chat_server.respond = late
    answer = outcome(config(chat_server, timeout_s=0.1, retries=0))
    assert isinstance(answer, Reject)
    assert (answer.reason, answer.detail) == ("llm_error", "no reply in 0.1 s")


@pytest.mark.parametrize("body", ["{", "[]", "<html>", '{"choices": "none"}', '{"choices": [{}]}'])
def test_body_that_is_no_completion_is_an_error(chat_server: ChatServer, body: str) -> None:
    """Broken or foreign JSON from the server rejects the request, with what it said."""
    chat_server.script.append(Answer(200, body))
    answer = outcome(config(chat_server))
    assert isinstance(answer, Reject)
    assert answer.reason == "llm_error"
    assert body in answer.detail


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completion("cut", "length"), ChatReply("cut", "length", 10, 5)),
        (completion(None, "content_filter"), ChatReply("", "content_filter", 10, 5)),
        (completion(None, refusal="I will not"), ChatReply("I will not", "refusal", 10, 5)),
        (Answer(200, {"choices": []}), ChatReply("", "stop", 0, 0)),
    ],
)
def test_paid_but_useless_replies_are_replies(
    chat_server: ChatServer, answer: Answer, expected: ChatReply
) -> None:
    """Cut, filtered, refused and empty replies come back as such, so that they are logged like any other."""
    chat_server.script.append(answer)
    assert outcome(config(chat_server)) == expected
