"""Replies are read strictly: what is not sound conversation is rejected with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import GOOD_REPLIES

from schemas.errors import Reject
from stages.models.chat import ChatReply
from stages.replies import REPLIES, Kind, read_reply

PARSER_CASES = Path(__file__).resolve().parents[2] / "../shared/data/hostile/text"


def reply(text: str, finish_reason: str = "stop") -> ChatReply:
    return ChatReply(text, finish_reason, 1, 2)


def rejected(kind: Kind, text: str, finish_reason: str = "stop") -> Reject:
    with pytest.raises(Reject) as caught:
        read_reply(kind, reply(text, finish_reason))
    return caught.value


def test_conversation_alternates() -> None:
    """Turns become user and assistant messages in order."""
    messages = read_reply("conversation", reply(json.dumps(GOOD_REPLIES["conversation"]))).messages("")
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert messages[1]["content"] == "A red boat."


def test_detail_answers_our_question() -> None:
    """A description answers the instruction; a reasoning reply brings its own question."""
    detail = read_reply("detail", reply('{"description": " A boat. "}')).messages("What is here?")
    reasoning = read_reply("reasoning", reply('{"question": "Why?", "answer": "So."}')).messages("What is here?")
    assert [message["content"] for message in detail] == ["What is here?", "A boat."]
    assert [message["content"] for message in reasoning] == ["Why?", "So."]


@pytest.mark.parametrize("fence", ["```json\n%s\n```", "```\n%s\n```\n", "\n%s\n"])
def test_code_fence_is_forgiven(fence: str) -> None:
    """JSON in a Markdown fence is read like bare JSON."""
    read = read_reply("detail", reply(fence % '{"description": "A boat."}'))
    assert read.messages("What is here?")[1]["content"] == "A boat."


@pytest.mark.parametrize("kind", ["conversation", "detail", "reasoning"])
def test_schema_is_strict(kind: Kind) -> None:
    """Every object of a schema requires all its keys and forbids others, as strict structured output demands."""
    schema = REPLIES[kind].model_json_schema()
    for part in [schema, *schema.get("$defs", {}).values()]:
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


@pytest.mark.parametrize(
    "value",
    [
        {}, {"turns": []}, {"turns": [{"question": "Q?"}]}, {"turns": [{"question": "Q?", "answer": " "}]},
        {"turns": [{"question": "Q?", "answer": "A."}] * 9}, {"turns": "none"}, [],
        {"turns": [{"question": "Q?", "answer": "A.", "note": "x"}]},
    ],
)
def test_other_shapes_are_bad(value: Any) -> None:
    """A missing, empty, surplus or wrongly typed part makes the reply bad; the detail names the kind."""
    reject = rejected("conversation", json.dumps(value))
    assert reject.reason == "bad_reply"
    assert reject.detail.startswith("conversation: ")


@pytest.mark.parametrize(
    "text",
    [
        "<image>\nA boat.", "A boat.<|im_end|>", "A\x00boat", "A \x1b[31mboat",
    ],
)
def test_markup_is_bad(text: str) -> None:
    """An answer that holds markup or control characters is not used, checked or not."""
    assert rejected("detail", json.dumps({"description": text})).reason == "bad_reply"


@pytest.mark.parametrize("text", ["It is 0.5 miles away.", "A captain stands by.", "Version 1.25 (2, 3) runs."])
def test_ordinary_numbers_are_fine(text: str) -> None:
    """Numbers and words that only look alike pass."""
    read = read_reply("detail", reply(json.dumps({"description": text})))
    assert read.messages("What is here?")[1]["content"] == text


@pytest.mark.parametrize(
    ("finish_reason", "text", "reason"),
    [
        ("length", '{"descr', "reply_cut"), ("content_filter", "", "content_filtered"),
        ("refusal", "I will not", "refused"), ("none", "", "empty_reply"), ("stop", " ", "empty_reply"),
        ("stop", "Once upon a time", "bad_reply"), ("stop", '{"description": "A boat lies', "bad_reply"),
    ],
)
def test_useless_replies_have_their_reason(finish_reason: str, text: str, reason: str) -> None:
    """Cut, refused, empty and nonsense replies are told apart."""
    assert rejected("detail", text, finish_reason).reason == reason


def test_detail_quotes_at_most_200_characters() -> None:
    """The quote is short and can be encoded, whatever the reply holds."""
    detail = rejected("detail", "\ud800" + "x" * 5000).detail
    assert "x" * 199 in detail
    assert "x" * 200 not in detail
    detail.encode()


@pytest.mark.parametrize("text", ['"\\ud800"', '"\ud800"'])
def test_broken_unicode_is_bad(text: str) -> None:
    """Half a surrogate pair, escaped or not, cannot enter an Arrow table and is a bad reply."""
    assert rejected("detail", f'{{"description": {text}}}').reason == "bad_reply"


@pytest.mark.skipif(not PARSER_CASES.exists(), reason="the hostile texts are not here")
def test_invalid_json_is_never_data() -> None:
    """Every text of JSONTestSuite, valid JSON or not, is a bad reply: none has our keys."""
    cases = [path for path in PARSER_CASES.rglob("*.json") if path.name[:2] in ("n_", "y_", "i_")]
    assert cases
    for path in cases:
        assert rejected("detail", path.read_bytes().decode(errors="replace") or "{").reason in (
            "bad_reply", "empty_reply",
        )
