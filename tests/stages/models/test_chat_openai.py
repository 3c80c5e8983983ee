"""The OpenAI engine against a real HTTP server."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion

from schemas.errors import FatalError, Paused, Reject
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


def test_being_told_to_wait_is_no_failure(chat_server: ChatServer) -> None:
    """429s do not use up the retries; the request is sent again until it is answered."""
    chat_server.script.extend([Answer(429, {}, {"Retry-After": "0.01"})] * 6)
    assert isinstance(outcome(config(chat_server, retries=0)), ChatReply)
    assert chat_server.calls == 7


def test_request_is_given_up_at_its_deadline(chat_server: ChatServer) -> None:
    """A server that refuses for ever costs the request its deadline; the reject says what the server said last."""
    chat_server.respond = lambda body: Answer(429, {"error": {"message": "not now"}}, {"Retry-After": "0.05"})
    answer = outcome(config(chat_server, deadline_s=1))
    assert isinstance(answer, Reject)
    assert answer.reason == "llm_error"
    assert "not now" in answer.detail


def test_busy_server_gets_fewer_requests_at_once(chat_server: ChatServer) -> None:
    """A server that refuses all beyond four at once is soon asked few at once, and answers everything."""
    at_once = 0

    def respond(body: dict[str, Any]) -> Answer:
        nonlocal at_once
        at_once += 1
        try:
            time.sleep(0.01)
            return completion("x") if at_once <= 4 else Answer(429, {}, {"Retry-After": "0.01"})
        finally:
            at_once -= 1

    chat_server.respond = respond
    answers = list(OpenAIChat(config(chat_server, concurrency=32)).complete([request()] * 300))
    assert all(isinstance(answer, ChatReply) for _, answer in answers)
    assert chat_server.calls < 3 * 300


def test_rates_are_kept(chat_server: ChatServer) -> None:
    """At most the burst and the rate's share of the time passed have come to the server."""
    chat = OpenAIChat(config(chat_server, requests_per_min=600), actors=2)
    started = time.monotonic()
    list(chat.complete([request()] * 30))
    passed_s = time.monotonic() - started
    assert chat_server.calls == 30
    assert passed_s >= (30 - 25 - 1) / 5  # 300 a minute for each of two actors: 25 at once, then 5 a second


def test_empty_account_pauses(chat_server: ChatServer) -> None:
    """A 429 that means an empty account is not waited for; replies in flight are handed over first."""
    chat_server.script.append(completion("paid"))
    error = {"message": "You exceeded your quota", "code": "insufficient_quota"}
    chat_server.respond = lambda body: Answer(429, {"error": error})
    answers = OpenAIChat(config(chat_server)).complete([request()] * 5)
    assert next(answers)[1] == ChatReply("paid", "stop", 10, 5)
    with pytest.raises(Paused, match="topped up"):
        list(answers)


def test_first_request_goes_alone(chat_server: ChatServer) -> None:
    """Only one request at a time is refused while the engine learns what the server understands."""

    def respond(body: dict[str, Any]) -> Answer:
        time.sleep(0.02)
        known = "response_format" not in body
        return completion("x") if known else Answer(400, {"error": {"message": "response_format: unknown"}})

    chat_server.respond = respond
    answers = dict(OpenAIChat(config(chat_server)).complete([request()] * 20))
    assert len(answers) == 20
    assert sum("response_format" in body for body in chat_server.bodies) == 2


def test_newer_name_of_the_limit_is_learnt(chat_server: ChatServer) -> None:
    """A model that wants max_completion_tokens gets it, and is asked by that name from then on."""

    def respond(body: dict[str, Any]) -> Answer:
        message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        return Answer(400, {"error": {"message": message}}) if "max_tokens" in body else completion("fine")

    chat_server.respond = respond
    chat = OpenAIChat(config(chat_server, max_tokens=9))
    assert len(list(chat.complete([request()] * 3))) == 3
    assert [body.get("max_completion_tokens") for body in chat_server.bodies] == [None, 9, 9, 9]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_wrong_key_or_model_stops_the_run(chat_server: ChatServer, status: int) -> None:
    """One line names the server and the model."""
    chat_server.script.append(Answer(status, {"error": {"message": "no\nsuch thing"}}))
    with pytest.raises(FatalError, match=r"127\.0\.0\.1.*tiny") as caught:
        outcome(config(chat_server))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "Server is pinned to 'other'; requested 'tiny'."},
        {"error": {"message": "The model `tiny` does not exist", "code": "model_not_found"}},
    ],
)
def test_model_the_server_does_not_serve_stops_the_run(chat_server: ChatServer, body: dict[str, Any]) -> None:
    """A 400 about the model concerns every request, however the server words it."""
    chat_server.script.append(Answer(400, body))
    with pytest.raises(FatalError, match="refuses model tiny"):
        outcome(config(chat_server))


def test_missing_key_stops_the_run(chat_server: ChatServer) -> None:
    """OpenAI's own server needs a key; the message says where to put it."""
    with pytest.raises(FatalError, match="OPENAI_API_KEY"):
        open_chat(ChatConfig(model="gpt"))


@pytest.mark.parametrize("known", ["json_object", None])
@pytest.mark.parametrize(
    "refusal",
    [
        Answer(400, {"error": {"message": "response_format is not supported"}}),
        Answer(422, {"detail": "Unexpected fields in the request: {'response_format'}"}),
    ],
)
def test_server_without_schemas_is_asked_more_simply(
    chat_server: ChatServer, known: str | None, refusal: Answer
) -> None:
    """A refusal of the response format, in OpenAI's form or FastAPI's, leads to the next simpler one, remembered."""

    def respond(body: dict[str, Any]) -> Answer:
        if body.get("response_format", {}).get("type") == known:
            return completion("fine")
        return refusal

    chat_server.respond = respond
    chat = OpenAIChat(config(chat_server))
    assert isinstance(dict(chat.complete([request()]))[0], ChatReply)
    before = chat_server.calls
    assert isinstance(dict(chat.complete([request()]))[0], ChatReply)
    assert (before, chat_server.calls - before) == (2 if known else 3, 1)


def test_other_bad_request_is_not_asked_again(chat_server: ChatServer) -> None:
    """A 400 about something else costs its request at once; one about length or content says so."""
    errors = [
        {"message": "bad"},
        {"message": "too many", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 2048 tokens."},
        {"message": "The prompt triggered the content management policy", "code": "content_filter"},
    ]
    chat_server.script.extend(Answer(400, {"error": error}) for error in errors)
    answers = [outcome(config(chat_server)) for _ in errors]
    reasons = [answer.reason for answer in answers if isinstance(answer, Reject)]
    assert reasons == ["llm_error", "prompt_too_long", "prompt_too_long", "content_filtered"]
    assert chat_server.calls == 4


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
        (Answer(200, {"choices": []}), ChatReply("", "none", 0, 0)),
    ],
)
def test_paid_but_useless_replies_are_replies(
    chat_server: ChatServer, answer: Answer, expected: ChatReply
) -> None:
    """Cut, filtered, refused and empty replies come back as such, so that they are logged like any other."""
    chat_server.script.append(answer)
    assert outcome(config(chat_server)) == expected
