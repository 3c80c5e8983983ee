"""The log of replies, and a chat model behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import FatalError, Reject
from schemas.storage import Storage
from stages.models.chat import ChatReply, ChatRequest, Message
from stages.models.logged_chat import LoggedChat, request_key
from stages.models.response_log import ResponseLog, read_entries

REPLY = ChatReply("text \ud83d \n", "stop", 3, 4)


def request(text: str) -> ChatRequest:
    return ChatRequest((Message(role="user", content=text),), {}, "detail")


class Echo:
    """Answers with the texts of everything it is asked together; ``fails`` are rejected."""

    identity = "echo"

    def __init__(self, together: int = 1, fails: Sequence[str] = ()) -> None:
        self.together = together
        self.fails = fails
        self.asked: list[str] = []

    def close(self) -> None:
        """Nothing to close."""

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
        texts = [request.messages[0]["content"] for request in requests]
        self.asked += texts
        for position in reversed(range(len(texts))):
            start = position - position % self.together
            batch = " ".join(texts[start : start + self.together])
            failed = texts[position] in self.fails
            yield position, Reject("llm_error") if failed else ChatReply(f"{texts[position]} of {batch}", "stop", 1, 2)


def ask(folder: Path | str, model: Echo, texts: str) -> tuple[list[str], Counter[str]]:
    counts: Counter[str] = Counter()
    chat = LoggedChat(model, ResponseLog(Storage(str(folder))))
    outcomes = chat.ask([request(text) for text in texts], counts)
    return [each.reason if isinstance(each, Reject) else each.text for each in outcomes], counts


def test_reply_survives_the_process(tmp_path: Path) -> None:
    """A new log over the same folder knows the reply, odd characters included, and nothing else."""
    log = ResponseLog(Storage(str(tmp_path)))
    log.append("key", REPLY)
    again = ResponseLog(Storage(str(tmp_path)))
    assert again.get("key") == REPLY
    assert again.get("other") is None


def test_killed_writer_loses_nothing_it_had(tmp_path: Path) -> None:
    """What a process appended before kill -9 is there, though it never closed or committed the file."""
    script = (
        "import os, signal, sys\n"
        "from schemas.storage import Storage\n"
        "from stages.models.chat import ChatReply\n"
        "from stages.models.response_log import ResponseLog\n"
        "log = ResponseLog(Storage(sys.argv[1]))\n"
        "for number in range(50): log.append(str(number), ChatReply('x', 'stop', 1, 1))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[3]
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    log = ResponseLog(Storage(str(tmp_path)))
    assert all(log.get(str(number)) for number in range(50))


def test_torn_last_line_is_not_read(tmp_path: Path) -> None:
    """Half a line at the end of a killed writer's file is passed over; new replies go to another file."""
    log = ResponseLog(Storage(str(tmp_path)))
    log.append("a", REPLY)
    log.append("b", REPLY)
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    again = ResponseLog(Storage(str(tmp_path)))
    assert (again.get("a"), again.get("b")) == (REPLY, None)
    again.append("b", REPLY)
    assert ResponseLog(Storage(str(tmp_path))).get("b") == REPLY
    assert len(list(tmp_path.iterdir())) == 2


def test_broken_line_stops_with_its_place(tmp_path: Path) -> None:
    """A whole line that is no reply was not written by Showtell: the run says where it stands."""
    (tmp_path / "bad.jsonl").write_text('{"nonsense": 1}\n')
    with pytest.raises(FatalError, match=r"bad\.jsonl"):
        ResponseLog(Storage(str(tmp_path)))


def test_other_writers_are_seen(tmp_path: Path) -> None:
    """What another process appends meanwhile, half lines included, is known after a refresh."""
    mine, theirs = ResponseLog(Storage(str(tmp_path))), ResponseLog(Storage(str(tmp_path)))
    theirs.append("a", REPLY)
    mine.refresh()
    assert mine.get("a") == REPLY
    theirs.append("b", REPLY)
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    mine.refresh()
    assert mine.get("b") is None
    file.write_bytes(whole)
    mine.refresh()
    assert mine.get("b") == REPLY


def test_remote_folder_gets_whole_objects(tmp_path: Path) -> None:
    """Where a file cannot be appended to, each commit writes one object."""
    folder = Storage(f"memory://{tmp_path.name}/responses")
    log = ResponseLog(folder)
    log.append("a", REPLY)
    log.append("b", REPLY)
    log.commit()
    log.append("c", REPLY)
    log.commit()
    assert len(folder.names()) == 2
    again = ResponseLog(folder)
    assert all(again.get(key) == REPLY for key in "abc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_lost_folder_stops_the_run(tmp_path: Path) -> None:
    """A reply that cannot be kept is not used: the run stops with one line."""
    log = ResponseLog(Storage(str(tmp_path / "responses")))
    tmp_path.chmod(0o500)
    with pytest.raises(FatalError, match="cannot keep replies"):
        log.append("a", REPLY)


def test_folder_that_is_a_file_stops_the_run(tmp_path: Path) -> None:
    """A folder that cannot be made stops the run with one line."""
    log = ResponseLog(Storage(str(tmp_path / "taken" / "responses")))
    (tmp_path / "taken").write_text("")
    with pytest.raises(FatalError, match="cannot keep replies"):
        log.append("a", REPLY)


def test_key_tells_requests_apart() -> None:
    """Engine, text, schema, and the requests beside it all enter the key."""
    plain = request_key("m", [request("a")], 0)
    schema = ChatRequest(request("a").messages, {"type": "object"}, "detail")
    others = {
        request_key("n", [request("a")], 0),
        request_key("m", [request("b")], 0),
        request_key("m", [schema], 0),
        request_key("m", [request("a"), request("b")], 0),
        request_key("m", [request("a"), request("b")], 1),
    }
    assert len(others | {plain}) == 6


def test_same_request_is_sent_once(tmp_path: Path) -> None:
    """Equal requests are one call, and a second process makes none."""
    first, counts = ask(tmp_path, model := Echo(), "aba")
    assert model.asked == ["a", "b"]
    assert first == ["a of a", "b of b", "a of a"]
    assert counts == {"calls": 2, "reused_replies": 1, "input_tokens": 2, "output_tokens": 4}
    second, counts = ask(tmp_path, model := Echo(), "aba")
    assert (second, model.asked) == (first, [])
    assert counts == {"calls": 0, "reused_replies": 3}


def test_failure_is_not_remembered(tmp_path: Path) -> None:
    """A request without a reply is sent again by the next run; its neighbours are not."""
    first, _ = ask(tmp_path, Echo(fails="b"), "abc")
    second, _ = ask(tmp_path, model := Echo(), "abc")
    assert first == ["a of a", "llm_error", "c of c"]
    assert (second, model.asked) == (["a of a", "b of b", "c of c"], ["b"])


def test_requests_answered_together_stay_together(tmp_path: Path) -> None:
    """If one of a batch has no reply in the log, the whole batch is asked again, and no other."""
    ask(tmp_path, Echo(2, fails="d"), "abcde")
    again, _ = ask(tmp_path, model := Echo(2), "abcde")
    assert model.asked == ["c", "d"]
    assert again == ["a of a b", "b of a b", "c of c d", "d of c d", "e of e"]


def test_reply_depends_on_its_batch(tmp_path: Path) -> None:
    """The same request in another batch is another request: its logged reply is not mixed in."""
    ask(tmp_path, Echo(2), "ab")
    other, _ = ask(tmp_path, model := Echo(2), "ac")
    assert (model.asked, other) == (["a", "c"], ["a of a c", "c of a c"])


def test_threads_that_ask_the_same_send_it_once(tmp_path: Path) -> None:
    """What one thread is asking just now, another waits for: a reply, a reject or the end of the engine."""
    asked, go = threading.Event(), threading.Event()

    class Slow(Echo):
        def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
            asked.set()
            go.wait()
            if requests[0].messages[0]["content"] == "z":
                raise FatalError("the key ran out")
            yield from super().complete(requests)

    def waiting(texts: str) -> Future[list[ChatReply | Reject]]:
        return threads.submit(chat.ask, [request(text) for text in texts], Counter())

    chat = LoggedChat(model := Slow(fails="b"), ResponseLog(Storage(str(tmp_path))))
    with ThreadPoolExecutor() as threads:
        for texts in ("ab", "z"):
            asked.clear()
            go.clear()
            first = waiting(texts)
            asked.wait()
            second = waiting(texts)
            time.sleep(0.3)  # by now the second thread has seen that the first one asks
            go.set()
            if texts == "z":
                assert {type(first.exception()), type(second.exception())} == {FatalError}
            else:
                assert first.result() == second.result()
    assert model.asked == ["a", "b"]


def test_entries_tell_what_was_paid(tmp_path: Path) -> None:
    """Reply and price of every line are read back, whoever wrote it; a torn line is passed over."""
    for name in "ab":
        log = ResponseLog(Storage(str(tmp_path)))
        log.append(name, REPLY, 0.5)
        log.close()
    torn = next(tmp_path.iterdir())
    torn.write_bytes(torn.read_bytes() + b'{"key": "c", "te')
    entries = sorted(read_entries(Storage(str(tmp_path))), key=lambda entry: entry.key)
    assert [(entry.key, entry.reply, entry.usd) for entry in entries] == [("a", REPLY, 0.5), ("b", REPLY, 0.5)]


def test_image_enters_the_key() -> None:
    """The same question about another image, or about none, is another request."""
    images = [None, b"one", b"two"]
    keys = {request_key("m", [replace(request("a"), image=image)], 0) for image in images}
    assert len(keys) == 3


def test_replies_are_kept_when_the_engine_stops(tmp_path: Path) -> None:
    """What came in before a fatal error is not paid for again."""

    class Dying(Echo):
        def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
            yield next(super().complete(requests))
            raise FatalError("the key ran out")

    with pytest.raises(FatalError):
        ask(tmp_path, Dying(), "ab")
    _, counts = ask(tmp_path, Echo(), "ab")
    assert (counts["calls"], counts["reused_replies"]) == (1, 1)
