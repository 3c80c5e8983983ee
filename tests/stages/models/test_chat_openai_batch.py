"""The Batch API engine against a real HTTP server that works batches off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion

from schemas.errors import FatalError, Paused, Reject
from schemas.storage import Storage
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message
from stages.models.logged_chat import LoggedChat, open_logged_chat
from stages.models.response_log import read_entries

PRICES = {"input_per_million": 0.0, "output_per_million": 1e6}
"""A dollar a token of the reply: the server's replies have five."""

ROOT = Path(__file__).resolve().parents[3]


def request(text: str) -> ChatRequest:
    return ChatRequest((Message(role="user", content=text),), {"type": "object"}, "detail")


def opened(server: ChatServer, folder: Path, **settings: Any) -> LoggedChat:
    config = ChatConfig.model_validate(
        {"engine": "openai_batch", "model": "tiny", "base_url": server.url, "poll_s": 0.02, "max_tokens": 5, **settings}
    )
    return open_logged_chat(config, Storage(str(folder)))


def ask(server: ChatServer, folder: Path, texts: str, **settings: Any) -> list[str]:
    outcomes = opened(server, folder, **settings).ask([request(text) for text in texts], Counter())
    return [outcome.text if isinstance(outcome, ChatReply) else outcome.reason for outcome in outcomes]


def shout(body: dict[str, Any]) -> Answer:
    return completion(body["messages"][0]["content"].upper())


@pytest.fixture
def server(chat_server: ChatServer) -> ChatServer:
    chat_server.respond = shout
    return chat_server


def test_one_batch_answers_all(server: ChatServer, tmp_path: Path) -> None:
    """The requests go up in one file, the replies find their places, tokens are counted, and all are logged."""
    counts: Counter[str] = Counter()
    outcomes = opened(server, tmp_path).ask([request(text) for text in "abc"], counts)
    assert outcomes == [ChatReply(text, "stop", 10, 5) for text in "ABC"]
    assert (len(server.batches.made), counts["calls"], counts["input_tokens"]) == (1, 3, 30)
    [line, *_] = [json.loads(line) for line in server.batches.files["file-0"].splitlines()]
    assert (line["url"], line["body"]["model"], line["body"]["max_tokens"]) == ("/v1/chat/completions", "tiny", 5)
    assert ask(server, tmp_path, "cab") == ["C", "A", "B"]
    assert (len(server.batches.made), server.calls) == (1, 3)


def test_replies_are_shared_with_the_live_engine(server: ChatServer, tmp_path: Path) -> None:
    """The same model gives the same replies by either way: what one engine paid, the other reuses."""
    ask(server, tmp_path, "ab")
    assert ask(server, tmp_path, "ba", engine="openai") == ["B", "A"]
    assert server.calls == 2


def test_killed_process_finds_its_batch(server: ChatServer, tmp_path: Path) -> None:
    """A process killed while it waits sent one batch; the next one, asking in other groups, sends none."""
    server.batches.may_run.clear()
    script = (
        "import sys; sys.path.insert(0, 'tests/stages/models'); sys.path.insert(0, 'tests/stages')\n"
        "from pathlib import Path; from types import SimpleNamespace; from test_chat_openai_batch import ask\n"
        "ask(SimpleNamespace(url=sys.argv[1]), Path(sys.argv[2]), 'abcd')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, server.url, str(tmp_path)], cwd=ROOT)
    ends = time.monotonic() + 60
    while not server.batches.looks and time.monotonic() < ends:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    server.batches.may_run.set()
    assert ask(server, tmp_path, "da") == ["D", "A"]
    assert ask(server, tmp_path, "bce") == ["B", "C", "E"]
    assert (len(server.batches.made), server.calls) == (2, 5)


def test_batch_whose_id_was_lost_is_found(server: ChatServer, tmp_path: Path) -> None:
    """The server made the batch, but its answer never came: it is looked for, not made a second time."""
    server.batches.faults["/v1/batches"] = deque(["lost"])
    assert ask(server, tmp_path, "ab") == ["A", "B"]
    assert (len(server.batches.made), server.calls) == (1, 2)


def test_some_requests_fail(server: ChatServer, tmp_path: Path) -> None:
    """Errors that pass are sent again in another batch; others cost their request, and are sent again next time."""
    once = {"b"}

    def respond(body: dict[str, Any]) -> Answer:
        text = body["messages"][0]["content"]
        if text in once:
            once.discard(text)
            return Answer(500, {"error": {"message": "oops"}})
        if text == "c":
            return Answer(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
        return shout(body)

    server.respond = respond
    assert ask(server, tmp_path, "abc") == ["A", "B", "prompt_too_long"]
    assert len(server.batches.made) == 2
    server.respond = shout
    assert ask(server, tmp_path, "abc") == ["A", "B", "C"]
    assert server.calls == 5


def test_lasting_failure_is_given_up(server: ChatServer, tmp_path: Path) -> None:
    """A request that fails in every batch is rejected after `retries` more batches."""
    server.respond = lambda body: (
        Answer(500, {"error": {"message": "oops"}}) if body["messages"][0]["content"] == "b" else shout(body)
    )
    assert ask(server, tmp_path, "ab", retries=2) == ["A", "llm_error"]
    assert len(server.batches.made) == 3


def test_expired_batch_keeps_what_it_has(server: ChatServer, tmp_path: Path) -> None:
    """What was answered in time is used; only the rest is sent again."""
    server.batches.expires_after = 2
    assert ask(server, tmp_path, "abcde") == ["A", "B", "C", "D", "E"]
    sent = [server.batches.files[batch["input_file_id"]] for batch in server.batches.made]
    assert [len(file.splitlines()) for file in sent] == [5, 3, 1]
    assert server.calls == 5


def test_server_without_schemas_is_asked_more_simply(server: ChatServer, tmp_path: Path) -> None:
    """A whole batch refused for its response format is sent again in simpler words, whatever the retries."""

    def respond(body: dict[str, Any]) -> Answer:
        known = "response_format" not in body
        return shout(body) if known else Answer(400, {"error": {"message": "response_format is not supported"}})

    server.respond = respond
    assert ask(server, tmp_path, "ab", retries=0) == ["A", "B"]
    assert len(server.batches.made) == 3


def test_refused_batch_stops_the_run(server: ChatServer, tmp_path: Path) -> None:
    """The server's reason is told in one line; a full queue pauses instead; the next run sends the batch anew."""
    server.batches.fails.append({"code": "model_not_found", "message": "no model tiny"})
    with pytest.raises(FatalError, match="no model tiny"):
        ask(server, tmp_path, "ab")
    server.batches.fails.append({"code": "token_limit_exceeded", "message": "Enqueued token limit reached"})
    with pytest.raises(Paused, match="Enqueued token limit"):
        ask(server, tmp_path, "ab")
    assert ask(server, tmp_path, "ab") == ["A", "B"]
    assert server.calls == 2


def test_server_without_batches_stops_the_run(server: ChatServer, tmp_path: Path) -> None:
    """One line, instead of rejecting row after row."""
    server.batches.faults["/v1/files"] = deque([Answer(404, {"error": {"message": "not found"}})])
    with pytest.raises(FatalError, match="takes no file"):
        ask(server, tmp_path, "ab")


def test_server_may_be_silent_for_a_while(server: ChatServer, tmp_path: Path) -> None:
    """Looks that fail are repeated: a batch takes hours, and servers restart."""
    server.batches.faults["/v1/batches/batch-0"] = deque([Answer(503, "restarting")] * 5)
    assert ask(server, tmp_path, "ab", retries=0) == ["A", "B"]
    assert len(server.batches.made) == 1


def test_batch_that_is_gone_is_sent_again(server: ChatServer, tmp_path: Path) -> None:
    """A server that has forgotten the batch, or its replies, is asked anew."""
    server.batches.faults["/v1/batches/batch-0"] = deque([Answer(404, {"error": {"message": "no such batch"}})])
    server.batches.faults["content"] = deque([Answer(404, {"error": {"message": "deleted"}})])
    assert ask(server, tmp_path, "ab") == ["A", "B"]
    assert len(server.batches.made) == 3


def test_limit_sends_what_there_is_money_for(server: ChatServer, tmp_path: Path) -> None:
    """Only as many requests as can be paid at their worst go up; the rest waits for a higher limit."""
    with pytest.raises(Paused, match="max_usd = 17"):
        ask(server, tmp_path, "abcdef", prices=PRICES, max_usd=17)
    assert sum(entry.usd for entry in read_entries(Storage(str(tmp_path)))) == 15
    assert server.calls == 3
    assert ask(server, tmp_path, "abcdef", prices=PRICES, max_usd=100) == list("ABCDEF")
    assert server.calls == 6


def test_money_of_a_batch_that_is_out_is_not_spent_twice(server: ChatServer, tmp_path: Path) -> None:
    """A batch whose process is gone may still be charged: another request has to fit beside it."""
    server.batches.may_run.clear()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(ask, server, tmp_path, "ab", prices=PRICES, max_usd=12)
        while not server.batches.looks:
            time.sleep(0.02)
        with pytest.raises(Paused):
            ask(server, tmp_path, "c", prices=PRICES, max_usd=12)
        server.batches.may_run.set()
        assert first.result() == ["A", "B"]


def test_foreign_completion_costs_its_request(server: ChatServer, tmp_path: Path) -> None:
    """A body that is no completion is an error, not a reply."""
    server.respond = lambda body: Answer(200, {"choices": "none"})
    outcomes = opened(server, tmp_path).ask([request("a")], Counter())
    assert isinstance(outcomes[0], Reject)
    assert "not a chat completion" in outcomes[0].detail
