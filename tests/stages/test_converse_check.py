"""Converse checks what it is told before it keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chat_server import Answer, ChatServer, completion
from pydantic import ValidationError

from schemas.storage import Storage
from stages.converse import Converse, ConverseConfig

DOG = {"label": "dog", "box": [0.1, 0.5, 0.3, 0.9]}
DOGS = [DOG, {**DOG, "box": [0.6, 0.5, 0.9, 1.0]}]
ROW = {"id": "1", "captions": ["A woman walks two dogs on the beach."], "boxes": DOGS}
TRUE = "A woman walks along the beach with two dogs, which are close to the water on this day."
FALSE = "A woman walks along the beach with three dogs and a cat, which are close to the water."


def description(text: str) -> Answer:
    return completion(json.dumps({"description": text}))


def wrote(
    folder: Path, server: ChatServer, row: Mapping[str, Any] = ROW, **settings: Any
) -> tuple[dict[str, Any], Converse]:
    """Return the outcome of one row, and the stage that made it."""
    chat = {"model": "tiny", "base_url": server.url, "retries": 0, "concurrency": 1, **settings.pop("chat", {})}
    config = {"use": "converse", "kinds": ["detail"], "chat": chat, **settings}
    stage = Converse(ConverseConfig.model_validate(config))
    stage.folder = Storage(str(folder))
    stage.open()
    schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
    [found] = stage.process(pa.Table.from_pylist([row], schema=schema)).to_pylist()
    stage.close()
    return found, stage


def said(row: Mapping[str, Any]) -> str:
    return str(row["conversations"][0]["messages"][1]["content"])


def test_sound_conversation_is_kept_unasked(tmp_path: Path, chat_server: ChatServer) -> None:
    """It has been checked, so its findings are an empty list."""
    chat_server.script.append(description(TRUE))
    row, stage = wrote(tmp_path, chat_server)
    assert (said(row), row["conversations"][0]["findings"]) == (TRUE, [])
    assert chat_server.calls == 1
    assert not [name for name in stage.counts if name.startswith("findings")]


def test_findings_are_told_and_the_reply_mended(tmp_path: Path, chat_server: ChatServer) -> None:
    """The second request holds the first reply and every finding; its sound reply is kept."""
    chat_server.script.extend([description(FALSE), description(TRUE)])
    row, stage = wrote(tmp_path, chat_server)
    assert (said(row), row["conversations"][0]["findings"]) == (TRUE, [])
    reply, told = chat_server.bodies[1]["messages"][2:]
    assert FALSE in reply["content"]
    assert "count: 'dogs': the boxes show 2" in told["content"]
    assert "object: 'cat' is in no box, caption or transcript" in told["content"]
    counts = stage.counts
    assert (counts["repaired"], counts["findings_count"], counts["findings_object"], chat_server.calls) == (1, 1, 1, 2)


def test_what_is_not_mended_is_rejected(tmp_path: Path, chat_server: ChatServer) -> None:
    """It is asked for once more, not twice; reason and detail say what was found."""
    chat_server.respond = lambda body: description(FALSE)
    row, stage = wrote(tmp_path, chat_server)
    assert (row["_reason"], row["conversations"], chat_server.calls) == ("unsupported", None, 2)
    assert row["_detail"].startswith("detail: count: 'dogs': the boxes show 2; object: 'cat'")
    assert (stage.counts["repaired"], stage.counts["findings_object"]) == (0, 2)


def test_useless_answer_to_the_findings_changes_nothing(tmp_path: Path, chat_server: ChatServer) -> None:
    """The conversation stays unsupported, and nothing more is asked."""
    chat_server.script.extend([description(FALSE), completion("Sorry!"), description(TRUE)])
    row, _ = wrote(tmp_path, chat_server)
    assert (row["_reason"], chat_server.calls) == ("unsupported", 2)


def test_reject_asks_nothing_more(tmp_path: Path, chat_server: ChatServer) -> None:
    """`on_unsupported: reject` pays for one request."""
    chat_server.script.append(description(FALSE))
    row, _ = wrote(tmp_path, chat_server, on_unsupported="reject")
    assert (row["_reason"], chat_server.calls) == ("unsupported", 1)


def test_keep_marks_what_was_found(tmp_path: Path, chat_server: ChatServer) -> None:
    """`on_unsupported: keep` keeps the conversation; each finding names the words it is about."""
    chat_server.script.append(description(FALSE))
    row, _ = wrote(tmp_path, chat_server, on_unsupported="keep")
    findings = row["conversations"][0]["findings"]
    assert [(each["type"], FALSE[each["start"] : each["end"]]) for each in findings] == [
        ("count", "three dogs"), ("object", "cat"),
    ]
    assert {each["turn"] for each in findings} == {1}
    assert chat_server.calls == 1


def test_another_policy_pays_nothing_again(tmp_path: Path, chat_server: ChatServer) -> None:
    """First replies and repairs come from the log, whatever the check and the policy are."""
    chat_server.script.extend([description(FALSE), description(TRUE)])
    first, _ = wrote(tmp_path, chat_server)
    for settings in ({"on_unsupported": "keep"}, {"on_unsupported": "reject"}, {"check": {"types": []}}):
        wrote(tmp_path, chat_server, **settings)
    again, stage = wrote(tmp_path, chat_server)
    assert again == first
    assert (chat_server.calls, stage.counts["calls"]) == (2, 0)


def test_repair_passes_the_money_gate(tmp_path: Path, chat_server: ChatServer) -> None:
    """Repairs are counted like any request, in calls and dollars."""
    chat_server.script.extend([description(FALSE), description(TRUE)])
    prices = {"prices": {"input_per_million": 100, "output_per_million": 1000}}
    _, stage = wrote(tmp_path, chat_server, chat=prices)
    assert stage.counts["calls"] == 2
    assert stage.counts["usd"] == pytest.approx(2 * (10 * 100 + 5 * 1000) / 1e6)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("As the caption says, a woman walks along the beach with her two dogs beside the water.", "mention"),
        ("A woman, two dogs.", "length"),
        ("Eine Frau geht mit zwei Hunden am Strand entlang, und beide laufen ganz nahe am Wasser.", "language"),
    ],
)
def test_faults_of_form_are_treated_alike(tmp_path: Path, chat_server: ChatServer, text: str, finding: str) -> None:
    """Wording, length and language are rejected, repaired and kept as grounding is."""
    chat_server.respond = lambda body: description(text)
    row, stage = wrote(tmp_path, chat_server)
    assert (row["_reason"], chat_server.calls) == ("unsupported", 2)
    assert finding in row["_detail"]
    kept, _ = wrote(tmp_path, chat_server, on_unsupported="keep")
    assert finding in [each["type"] for each in kept["conversations"][0]["findings"]]
    assert stage.counts[f"findings_{finding}"] == 2


def test_only_the_types_asked_for_are_looked_for(tmp_path: Path, chat_server: ChatServer) -> None:
    """`check: {types: ...}` narrows the check; none at all checks nothing, so that findings are unknown."""
    chat_server.respond = lambda body: description(FALSE)
    row, _ = wrote(tmp_path, chat_server, on_unsupported="keep", check={"types": ["object"]})
    assert [each["type"] for each in row["conversations"][0]["findings"]] == ["object"]
    row, _ = wrote(tmp_path, chat_server, check={"types": []})
    assert row["conversations"][0]["findings"] is None
    assert chat_server.calls == 1


def test_one_of_two_kinds_is_told_where_it_is_left_out(tmp_path: Path, chat_server: ChatServer) -> None:
    """A sample that keeps one kind says of the other why it was rejected."""
    answer = "Both dogs could run off after strangers otherwise."
    reasoning = {"question": "Why might she keep them on a lead?", "answer": answer}

    def respond(body: dict[str, Any]) -> Answer:
        is_detail = body["messages"][1]["content"].endswith("detail")
        return description(FALSE) if is_detail else completion(json.dumps(reasoning))

    chat_server.respond = respond
    row, stage = wrote(tmp_path, chat_server, kinds=["detail", "reasoning"])
    assert [each["kind"] for each in row["conversations"]] == ["reasoning"]
    assert [(each["kind"], each["reason"]) for each in row["rejected_conversations"]] == [("detail", "unsupported")]
    assert "'cat'" in row["rejected_conversations"][0]["detail"]
    assert stage.counts["rejected_unsupported"] == 1


def test_a_model_that_sees_is_asked_for_less(tmp_path: Path, chat_server: ChatServer) -> None:
    """With the image sent along a cat that no caption mentions may be there; three dogs in two boxes may not."""
    chat_server.respond = lambda body: description(FALSE)
    row = {**ROW, "image_bytes": b"\xff\xd8\xffrest"}
    settings: dict[str, Any] = {"chat": {"send_image": True}, "on_unsupported": "keep"}

    def types(**more: Any) -> list[str]:
        found, _ = wrote(tmp_path, chat_server, row, **settings, **more)
        return [each["type"] for each in found["conversations"][0]["findings"]]

    assert types() == ["count"]
    assert types(check={"types": ["object", "count"]}) == ["count", "object"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"on_unsupported": "drop"}, "on_unsupported"), ({"check": {"types": ["objects"]}}, "check.types"),
        ({"check": {"max_words": 0}}, "check.max_words"), ({"check": {"languages": "en"}}, "check.languages"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], key: str) -> None:
    """A policy, type or bound that is none is a mistake of the config."""
    with pytest.raises(ValidationError) as caught:
        ConverseConfig.model_validate({"use": "converse", "chat": {"model": "m"}, **settings})
    assert ".".join(str(step) for step in caught.value.errors()[0]["loc"]).startswith(key)
