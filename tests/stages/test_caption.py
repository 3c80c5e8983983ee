"""``caption``: transcripts become one dense caption, checked against what was said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chat_server import Answer, ChatServer, completion
from datasets import load_from_disk

from pipeline.config import load_config
from pipeline.plan import make_plan
from schemas.storage import Storage
from stages.caption import Caption, CaptionConfig
from stages.prompts import VERSION, prompt_file, read_prompt
from stages.replies import REPLIES
from stages.wordings import DETAIL
from tests.pipeline.runs import run_inline, showtell, status, write_config

SAID = [
    "um so there's a green tractor in front of a red barn, and a dog, no, two dogs are lying under it",
    "A tractor in front of a barn. On the barn door I can read the number 17.",
]
ROW = {"id": "1", "transcripts": SAID}
TRUE = "A green tractor stands in front of a red barn, on whose door is the number 17. Two dogs lie under the tractor."
FALSE = "A green tractor stands in front of a red barn, and four dogs lie under it beside a bicycle."

Row = dict[str, Any]


def captioned(text: str) -> Answer:
    return completion(json.dumps({"caption": text}))


def opened(folder: Path, server: ChatServer, chat: Mapping[str, Any] | None = None, **settings: Any) -> Caption:
    model = {"model": "tiny", "base_url": server.url, "retries": 0, "concurrency": 1, **(chat or {})}
    stage = Caption(CaptionConfig.model_validate({"use": "caption", "chat": model, **settings}))
    stage.folder = Storage(str(folder))
    stage.open()
    return stage


def process(stage: Caption, *rows: Mapping[str, Any]) -> list[Row]:
    schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
    found: list[Row] = stage.process(pa.Table.from_pylist(list(rows), schema=schema)).to_pylist()
    return found


def test_transcripts_become_one_caption(tmp_path: Path, chat_server: ChatServer) -> None:
    """It is a column, and a conversation of kind `caption` whose question is one of ours."""
    chat_server.script.append(captioned(TRUE))
    [row] = process(opened(tmp_path, chat_server), ROW)
    assert row["dense_caption"] == TRUE
    [talk] = row["caption_conversations"]
    question, answer = talk["messages"]
    assert (talk["kind"], talk["findings"], answer["content"]) == ("caption", [], TRUE)
    assert question["content"] in DETAIL
    model, kind, prompt, style = talk["provenance"].split(":")
    assert (model, kind, prompt) == ("tiny", "caption", f"prompt-v{VERSION}")
    [body] = chat_server.bodies
    system, user = body["messages"]
    assert system["content"] == read_prompt(prompt_file("caption")).system(style)
    assert user["content"] == f"<data>\nTranscripts:\n- {SAID[0]}\n- {SAID[1]}\n</data>\n\nWrite: caption"
    assert body["response_format"]["json_schema"]["schema"] == REPLIES["caption"].model_json_schema()


def test_what_transcribe_heard_counts(tmp_path: Path, chat_server: ChatServer) -> None:
    """It joins the transcripts that came with the sample, each told once."""
    chat_server.script.append(captioned(TRUE))
    process(opened(tmp_path, chat_server), {**ROW, "transcripts": SAID[:1], "transcript": SAID[1]})
    chat_server.script.append(captioned(TRUE))
    process(opened(tmp_path, chat_server), {**ROW, "transcript": f" {SAID[0]}\n"})
    first, *again = (body["messages"][1]["content"] for body in chat_server.bodies)
    assert first.count("\n- ") == 2
    assert again == [], "the same request is not sent again"


def test_sample_nobody_spoke_about_goes_on(tmp_path: Path, chat_server: ChatServer) -> None:
    """There is nothing to write from, and nothing wrong with it."""
    silent = [{"id": "2", "transcripts": None}, {"id": "3", "transcripts": [" "], "transcript": ""}]
    rows = process(opened(tmp_path, chat_server), *silent)
    assert [(row["_reason"], row["dense_caption"], row["caption_conversations"]) for row in rows] == [(None,) * 3] * 2
    assert chat_server.calls == 0


def test_image_goes_along(tmp_path: Path, chat_server: ChatServer) -> None:
    """With `send_image` a row that is told of needs its image; one that is not goes on without."""
    stage = opened(tmp_path, chat_server, {"send_image": True}, check={"types": []})
    chat_server.respond = lambda body: captioned(TRUE)
    rows = [{**ROW, "image_bytes": b"\xff\xd8\xffrest"}, {**ROW, "image_bytes": None}, {"id": "3", "image_bytes": None}]
    assert [row["_reason"] for row in process(stage, *rows)] == [None, "no_image", None]
    [body] = chat_server.bodies
    assert {part["type"] for part in body["messages"][1]["content"]} == {"text", "image_url"}


def test_what_nobody_said_is_mended(tmp_path: Path, chat_server: ChatServer) -> None:
    """Numbers and things that are in no transcript are told, and the second reply is used."""
    chat_server.script.extend([captioned(FALSE), captioned(TRUE)])
    stage = opened(tmp_path, chat_server)
    [row] = process(stage, ROW)
    assert row["dense_caption"] == TRUE
    told = chat_server.bodies[1]["messages"][-1]["content"]
    assert "count: 'dogs': a text tells of" in told
    assert "'bicycle' is in no box, caption or transcript" in told
    assert stage.counts["repaired"] == 1


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("The speaker says that two dogs lie under a green tractor in front of the red barn.", "mention"),
        ("In the transcript two dogs lie under a green tractor in front of the red barn there.", "mention"),
        ("Two dogs, a tractor.", "length"),
        ("Ein grüner Traktor steht vor einer roten Scheune, und zwei Hunde liegen unter dem Traktor.", "language"),
        (FALSE, "object"),
    ],
)
def test_findings_reject_or_are_kept(tmp_path: Path, chat_server: ChatServer, text: str, finding: str) -> None:
    """The same policies as in `converse`: one more request, none, or findings beside the caption."""
    chat_server.respond = lambda body: captioned(text)
    [row] = process(opened(tmp_path, chat_server, on_unsupported="reject"), ROW)
    assert (row["_reason"], row["dense_caption"], chat_server.calls) == ("unsupported", None, 1)
    assert finding in row["_detail"]
    [row] = process(opened(tmp_path, chat_server), ROW)
    assert (row["_reason"], chat_server.calls) == ("unsupported", 2)
    [row] = process(opened(tmp_path, chat_server, on_unsupported="keep"), ROW)
    assert row["dense_caption"] == text
    assert finding in [each["type"] for each in row["caption_conversations"][0]["findings"]]
    assert chat_server.calls == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion("no JSON"), "bad_reply"), (completion('{"description": "A tractor."}'), "bad_reply"),
        (completion(None, "content_filter"), "content_filtered"), (completion('{"cap', "length"), "reply_cut"),
        (Answer(200, {"choices": []}), "empty_reply"), (Answer(500, "oops"), "llm_error"),
    ],
)
def test_failures_have_their_reason(tmp_path: Path, chat_server: ChatServer, answer: Answer, reason: str) -> None:
    """They cost their row alone."""
    chat_server.respond = lambda body: answer if "tractor" in body["messages"][1]["content"] else captioned(TRUE)
    lake = {"id": "2", "transcripts": ["a red barn with the number 17"]}
    bad, good = process(opened(tmp_path, chat_server, check={"types": []}), ROW, lake)
    assert (bad["_reason"], good["_reason"]) == (reason, None)
    assert bad["_reason"] in Caption.reasons


def test_estimate_counts_rows_with_transcripts(tmp_path: Path, chat_server: ChatServer) -> None:
    """A sample without any, as where `transcribe` is to make them, is counted as if each row got one."""
    stage = opened(tmp_path, chat_server, {"model": "gpt-4.1-mini"})
    schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
    mixed = pa.Table.from_pylist([ROW, {"id": "2"}], schema=schema)
    none = pa.Table.from_pylist([{"id": "1"}, {"id": "2"}], schema=schema)
    assert stage.estimate(100, mixed)["calls"] == 50
    assert stage.estimate(100, none)["calls"] == 100
    assert stage.estimate(100, none)["usd"] > 0


def test_run_writes_captions_into_the_dataset(tmp_path: Path, chat_server: ChatServer) -> None:
    """`converse` reads the caption, `shards` writes it as a row of its own, and `status` counts both stages' calls."""
    detail = {"description": "A green tractor is in front of a red barn, and two dogs lie under the green tractor."}

    def respond(body: dict[str, Any]) -> Answer:
        is_caption = body["messages"][1]["content"].endswith("caption")
        return captioned(TRUE) if is_caption else completion(json.dumps(detail))

    chat_server.respond = respond
    rows = [ROW, {"id": "2", "captions": ["a red barn with a green tractor and two dogs under it"]}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chat = {"model": "tiny", "base_url": chat_server.url}
    config = write_config(tmp_path, [
        {"use": "caption", "chat": chat}, {"use": "converse", "kinds": ["detail"], "chat": chat},
        {"use": "shards", "splits": {}},
    ])
    run_inline(config)
    dataset = load_from_disk(str(tmp_path / "run" / "dataset"))["train"]
    assert sorted(zip(dataset["id"], dataset["kind"], strict=True)) == [
        ("1", "caption"), ("1", "detail"), ("2", "detail"),
    ]
    assert all(found == [] for found in dataset["findings"])
    asked = [body["messages"][1]["content"] for body in chat_server.bodies]
    assert any(f"Detailed caption:\n{TRUE}\n" in text for text in asked)
    funnel = status(tmp_path / "run")
    calls = {stage["stage"]: stage["metrics"].get("calls") for stage in funnel["stages"]}
    assert (calls["caption"], calls["converse"]) == (1, 2)


def test_own_prompt_is_in_the_fingerprint_by_its_content(tmp_path: Path) -> None:
    """Another text is another stage; another place is the same."""
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROW) + "\n")

    def fingerprint(file: str, text: str) -> str:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
        stage = {"use": "caption", "chat": {"model": "m"}, "prompts": {"caption": file}}
        return make_plan(load_config(str(write_config(tmp_path, [stage])))).steps[0].fingerprint

    assert fingerprint("mine.txt", "Write.") == fingerprint("elsewhere/mine.txt", "Write.")
    assert fingerprint("mine.txt", "Write!") != fingerprint("mine.txt", "Write.")


def test_missing_prompt_file_starts_nothing(tmp_path: Path) -> None:
    """One line names file, key and value; exit code 2, and there is no run directory."""
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROW) + "\n")
    stage = {"use": "caption", "chat": {"model": "m"}, "prompts": {"caption": "nowhere.txt"}}
    config = write_config(tmp_path, [stage])
    done = showtell("run", str(config), "--runner", "inline")
    assert done.returncode == 2
    line = f"{config}: stages[0].prompts.caption = 'nowhere.txt': no such file or folder: {tmp_path}/nowhere.txt"
    assert line in (done.stdout + done.stderr).replace("\n ", " ")
    assert not (tmp_path / "run").exists()
