"""`why`: what was fetched, compared, asked, replied and paid, and where the sample ended up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import load_from_disk

from pipeline.run_dir import RunDirectory
from pipeline.story import Chapter, story
from tests.pipeline.runs import run_inline, showtell, write_config, write_source
from tests.stages.chat_server import ChatServer, completion

PRICES = {"input_per_million": 100.0, "output_per_million": 1000.0}
REPLY_USD = (10 * 100 + 5 * 1000) / 1e6
"""What a reply of the test server costs: 10 tokens in, 5 out."""


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


def converse(server: ChatServer, **more: Any) -> dict[str, Any]:
    chat = {"model": "tiny", "base_url": server.url, "concurrency": 1, "prices": PRICES}
    return {"use": "converse", "kinds": ["conversation", "detail"], "chat": chat, "check": {"types": []}, **more}


def told(folder: Path, sample: str) -> dict[str, Chapter]:
    """Return a sample's chapters by stage."""
    return {chapter["stage"]: chapter for chapter in story(RunDirectory(str(folder / "run")), sample)}


def test_every_prompt_and_reply_with_its_price(tmp_path: Path, server: ChatServer) -> None:
    """What was asked is to the letter what the server got, a correction too, each with reply, tokens and dollars."""
    write_source(tmp_path, ["a red boat"])
    server.script.append(completion("that is no JSON"))
    run_inline(write_config(tmp_path, [converse(server)]))
    chapter = told(tmp_path, "s0")["converse"]
    assert chapter["state"] == "kept"
    asked = [exchange["messages"] for exchange in chapter["exchanges"]]
    assert sorted(map(str, asked)) == sorted(str(body["messages"]) for body in server.bodies)
    assert [exchange["kind"] for exchange in chapter["exchanges"]] == ["conversation", "detail", "conversation"]
    assert chapter["exchanges"][0]["reply"] == "that is no JSON"
    assert json.loads(chapter["exchanges"][2]["reply"])["turns"]
    assert "cannot be used" in asked[2][-1]["content"]
    assert [(each["input_tokens"], each["output_tokens"]) for each in chapter["exchanges"]] == [(10, 5)] * 3
    assert [each["usd"] for each in chapter["exchanges"]] == pytest.approx([REPLY_USD] * 3)
    printed = showtell("why", str(tmp_path / "run"), "s0").stdout
    assert "reply 1 (stop, 10 + 5 tokens, 0.006000 usd):\n      that is no JSON\n" in printed
    assert "      - a red boat\n" in printed
    assert server.calls == 3, "why asks nobody"


def test_prompts_of_a_rejected_sample(tmp_path: Path, server: ChatServer) -> None:
    """Where every reply was of no use one sees what they were."""
    write_source(tmp_path, ["a red boat", "a house"])
    house = json.dumps({"description": "A house."})
    server.respond = lambda body: completion("no" if "red boat" in str(body) else house)
    run_inline(write_config(tmp_path, [converse(server, kinds=["detail"])]))
    chapter = told(tmp_path, "s0")["converse"]
    assert (chapter["state"], chapter["reason"]) == ("rejected", "bad_reply")
    assert chapter["meaning"].startswith("the reply is not what was asked for")
    assert [exchange["reply"] for exchange in chapter["exchanges"]] == ["no", "no"]
    assert [exchange["reply"] for exchange in told(tmp_path, "s1")["converse"]["exchanges"]] == [house]


def test_prompts_that_have_changed_since_are_not_made_up(tmp_path: Path, server: ChatServer) -> None:
    """With another prompt file no reply is found, and that is what is told."""
    write_source(tmp_path, ["a red boat"])
    prompt = tmp_path / "detail.txt"
    prompt.write_text("Describe it.")
    stage = converse(server, kinds=["detail"], prompts={"detail": "detail.txt"})
    run_inline(write_config(tmp_path, [stage]))
    assert "reply" in told(tmp_path, "s0")["converse"]["exchanges"][0]
    prompt.write_text("Describe it well.")
    assert "reply" not in told(tmp_path, "s0")["converse"]["exchanges"][0]
    prompt.unlink()
    assert "cannot be told" in told(tmp_path, "s0")["source"]["exchanges_missing"]


def test_shard_and_row(tmp_path: Path, server: ChatServer) -> None:
    """The rows named are those a loader finds there."""
    write_source(tmp_path, [f"boat {number}" for number in range(9)])
    stages = [converse(server), {"use": "shards", "splits": {"validation": 0.3}, "max_shard_bytes": 1}]
    run_inline(write_config(tmp_path, stages))
    dataset = load_from_disk(str(tmp_path / "run" / "dataset"))
    for number in range(9):
        chapters = told(tmp_path, f"s{number}")
        split = chapters["shards"]["values"]["split"]
        places = chapters["dataset"]["rows"]
        assert [place["kind"] for place in places] == ["conversation", "detail"]
        assert sum(row["id"] == f"s{number}" for row in dataset[split]) == 2
        for place in places:
            assert place["file"].startswith(f"{split}/")
            with pa.OSFile(str(tmp_path / "run" / "dataset" / place["file"])) as file:
                row = pa.ipc.open_stream(file).read_all().slice(place["row"], 1).to_pylist()[0]
            assert (row["id"], row["kind"]) == (f"s{number}", place["kind"])


def test_thresholds_and_fetches(tmp_path: Path) -> None:
    """A filter names its expression and the values it read; a fetch its address, and why it failed."""
    rows = [{"id": "a", "captions": ["x"], "image_url": "http://127.0.0.1:1/none.jpg", "extra_score": 3}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = [
        {"use": "tests.pipeline.probes:Length"}, {"use": "filter", "keep": "length >= 1"},
        {"use": "download", "allow_hosts": ["127.0.0.1"], "retries": 0},
    ]
    run_inline(write_config(tmp_path, stages))
    chapters = told(tmp_path, "a")
    assert chapters["filter"]["settings"] == {"keep": "length >= 1"}
    assert chapters["filter"]["rule"] == {"length": 1}
    fetch = {"media": "image", "url": "http://127.0.0.1:1/none.jpg", "status": None, "kept_bytes": None, "sha256": None}
    assert chapters["download"]["fetches"] == [fetch]
    assert (chapters["download"]["reason"], chapters["download"]["meaning"]) == (
        "connection", "the connection was refused or broke off"
    )
