"""Whatever happens to a run, nothing that was answered is asked again, and the money limit holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import load_config
from pipeline.plan import make_plan
from tests.pipeline.runs import ROOT, run_inline, showtell, showtell_process, status
from tests.stages.chat_server import Answer, ChatServer, good_reply

ROWS = 40
PRICES = {"input_per_million": 100.0, "output_per_million": 1000.0}
REPLY_USD = (10 * 100 + 5 * 1000) / 1e6
"""What a reply of the test server costs: 10 tokens in, 5 out."""


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


def configure(folder: Path, server: ChatServer, part_rows: int = 8, keep: str = "", **chat: Any) -> str:
    """Write a source and a config that asks for a description of every sample."""
    rows = ({"id": f"s{n:02}", "captions": [f"boat {n}"], "license": f"licence {n:02}"} for n in range(ROWS))
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = {"model": "tiny", "base_url": server.url, "concurrency": 4, **chat}
    converse = {"use": "converse", "kinds": ["detail"], "batch_rows": 4, "chat": model, "check": {"types": []}}
    stages = [{"use": "filter", "keep": keep}, converse] if keep else [converse]
    source = {"kind": "table", "path": "pairs.jsonl", "part_rows": part_rows}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({"name": "paid", "run_dir": "run", "source": source, "stages": stages}))
    return str(config)


def asked(server: ChatServer) -> Counter[str]:
    """Return how often each prompt came."""
    return Counter(str(body["messages"]) for body in server.bodies)


def kept(run: Mapping[str, Any]) -> int:
    return int(run["stages"][-1]["kept"])


def conversations(folder: Path) -> list[bytes]:
    parts = sorted(folder.glob("run/stages/converse-*/*.arrow"))
    assert parts
    return [part.read_bytes() for part in parts]


def test_killed_run_asks_nothing_twice_that_was_answered(tmp_path: Path, server: ChatServer) -> None:
    """A process killed with requests in flight leaves every reply it had; the next one sends only the others."""
    config = configure(tmp_path, server)
    held = threading.Event()
    answered: list[str] = []

    def respond(body: dict[str, Any]) -> Answer:
        if len(answered) >= 14:
            held.wait(60)
        else:
            answered.append(str(body["messages"]))
        return good_reply(body)

    server.respond = respond
    process = subprocess.Popen([sys.executable, "-m", "pipeline", "run", config, "--runner", "inline"], cwd=ROOT)
    log = tmp_path / "run" / "responses" / "converse"
    ends = time.monotonic() + 120
    while sum(file.read_bytes().count(b"\n") for file in log.glob("*.jsonl")) < 14 and time.monotonic() < ends:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    held.set()
    assert len(answered) >= 14
    server.respond = good_reply
    assert showtell("run", config, "--runner", "inline").returncode == 0
    counts = asked(server)
    assert len(counts) == ROWS
    assert [counts[prompt] for prompt in answered[:14]] == [1] * 14
    assert sum(counts.values()) <= ROWS + 4  # twice only what was in flight and never answered
    assert kept(status(tmp_path / "run")) == ROWS


def test_other_parts_and_thresholds_ask_only_what_is_new(tmp_path: Path, server: ChatServer) -> None:
    """Other part sizes ask nothing; a looser filter asks only the rows it lets in; going back asks nothing."""
    run_inline(Path(configure(tmp_path, server, keep="license < 'licence 30'")))
    assert server.calls == 30
    run_inline(Path(configure(tmp_path, server, part_rows=5, keep="license < 'licence 30'")))
    assert server.calls == 30
    run_inline(Path(configure(tmp_path, server, part_rows=7, keep="license < 'licence 36'")))
    assert server.calls == 36
    run_inline(Path(configure(tmp_path, server, keep="license < 'licence 10'")))
    run_inline(Path(configure(tmp_path, server, concurrency=9, base_url=server.url + "/")))
    assert set(asked(server).values()) == {1}
    assert server.calls == ROWS


def test_run_pauses_at_its_limit_and_goes_on_with_a_higher_one(tmp_path: Path, server: ChatServer) -> None:
    """Exit code 3, a reason in `status`, never a cent above the limit; then nothing is paid twice."""
    limits = {"prices": PRICES, "max_tokens": 5, "max_usd": 0.15}
    first = showtell("run", configure(tmp_path, server, **limits), "--runner", "inline")
    assert first.returncode == 3
    assert "max_usd = 0.15 is used up" in first.stdout
    found = status(tmp_path / "run")
    assert found["paused"].startswith("converse: max_usd = 0.15")
    paid = found["paid"]["converse"]
    assert paid["replies"] == server.calls > 4
    assert paid["usd"] == pytest.approx(server.calls * REPLY_USD)
    assert paid["usd"] <= 0.15
    assert sum(kept({"stages": [stage]}) for stage in found["stages"][1:]) < ROWS
    again = showtell("run", configure(tmp_path, server, **limits), "--runner", "inline")
    assert (again.returncode, server.calls) == (3, paid["replies"])
    more = showtell("run", configure(tmp_path, server, **(limits | {"max_usd": 5})), "--runner", "inline")
    assert more.returncode == 0
    found = status(tmp_path / "run")
    assert (found["paused"], kept(found), server.calls) == ("", ROWS, ROWS)
    assert found["paid"]["converse"]["usd"] == pytest.approx(ROWS * REPLY_USD)


def test_paused_run_ends_like_one_that_never_paused(tmp_path: Path, server: ChatServer) -> None:
    """The parts are the same bytes."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    limits = {"prices": PRICES, "max_tokens": 5}
    run_inline(Path(configure(tmp_path / "one", server, **limits)))
    paused, _ = run_inline(Path(configure(tmp_path / "two", server, max_usd=0.15, **limits)))
    assert "max_usd" in paused.paused
    run_inline(Path(configure(tmp_path / "two", server, max_usd=3, **limits)))
    assert conversations(tmp_path / "one") == conversations(tmp_path / "two")


def test_limit_holds_across_ray_actors(tmp_path: Path, server: ChatServer) -> None:
    """Three actors that spend at once stay below one limit together."""
    config = Path(configure(tmp_path, server, part_rows=2, prices=PRICES, max_tokens=5, max_usd=0.15))
    text = yaml.safe_load(config.read_text())
    text["stages"][0] |= {"actors": [3, 3], "cpus": 0.3}
    config.write_text(yaml.safe_dump(text))
    assert showtell_process("run", str(config)).returncode == 3
    found = status(tmp_path / "run")
    assert "max_usd" in found["paused"]
    assert 0 < found["paid"]["converse"]["usd"] == pytest.approx(server.calls * REPLY_USD)
    assert server.calls * REPLY_USD <= 0.15


def test_money_settings_do_not_change_fingerprints(tmp_path: Path, server: ChatServer) -> None:
    """Prices and limits decide what is paid, not what comes out."""

    def fingerprint(**chat: Any) -> str:
        return make_plan(load_config(configure(tmp_path, server, **chat))).steps[0].fingerprint

    assert fingerprint() == fingerprint(prices=PRICES, max_usd=3.0) == fingerprint(requests_per_min=60, deadline_s=9)
    assert fingerprint() != fingerprint(corrections=2)


def test_check_tells_the_cost_before_anything_runs(tmp_path: Path, server: ChatServer) -> None:
    """Calls, tokens and dollars come from real prompts; nothing is sent and nothing written."""
    checked = showtell("check", configure(tmp_path, server, prices=PRICES, max_tokens=100))
    assert checked.returncode == 0
    [line] = [line for line in checked.stdout.splitlines() if line.startswith("converse: for 40 samples")]
    amounts = {words[1]: float(words[0].replace(",", "")) for words in _amounts(line)}
    assert amounts["calls"] == ROWS
    assert 40 * 100 < amounts["input tokens"] < 40 * 2000
    assert amounts["output tokens"] == ROWS * 100
    assert amounts["usd at most"] == pytest.approx((amounts["input tokens"] * 100 + ROWS * 100 * 1000) / 1e6, rel=0.01)
    assert server.calls == 0
    assert not (tmp_path / "run").exists()


def _amounts(line: str) -> list[list[str]]:
    return [amount.split(" ", 1) for amount in line.rpartition(": ")[2].split(", ")]
