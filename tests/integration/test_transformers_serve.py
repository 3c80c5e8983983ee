"""``converse`` against ``transformers serve``: an OpenAI-compatible server that nobody here wrote."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.storage import Storage
from stages.converse import Converse, ConverseConfig
from tests.pipeline.runs import ROOT
from tests.stages.tiny_chat import save_tiny_chat

STARTER = ROOT / "sample" / "models" / "lm"
PATIENCE_S = 120.0
NONSENSE = ["Once upon", " a time", " there was", " a boat"]

ROWS: list[dict[str, Any]] = [
    {
        "id": "1", "captions": ["a red circle above a blue square"],
        "boxes": [{"label": "circle", "box": [0.1, 0.1, 0.3, 0.3]}, {"label": "square", "box": [0.1, 0.6, 0.3, 0.8]}],
    },
    {"id": "2", "captions": ["a green tree"], "boxes": [{"label": "tree", "box": [0.5, 0.2, 0.8, 0.9]}]},
]

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that loads the model each request names; gone at the end, whatever happens."""
    folder = tmp_path_factory.mktemp("serve")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1",
               "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_healthy(process, port, folder / "log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"transformers serve does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def storyteller(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that answers anything with the same words, and no JSON."""
    return save_tiny_chat(tmp_path_factory.mktemp("storyteller"), NONSENSE)


def converse(folder: Path, chat: dict[str, Any], kinds: list[str]) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return the rows that come out, and the stage's counts."""
    settings = {"use": "converse", "kinds": kinds, "chat": chat, "check": {"types": []}}
    stage = Converse(ConverseConfig.model_validate(settings))
    stage.folder = Storage(str(folder))
    stage.open()
    try:
        schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
        rows: list[dict[str, Any]] = stage.process(pa.Table.from_pylist(ROWS, schema=schema)).to_pylist()
    finally:
        stage.close()
    return rows, dict(stage.counts)


def test_same_conversations_as_in_this_process(tmp_path: Path, server: str) -> None:
    """The starter model writes by the server what it writes here, and both count the same tokens; a second run over
    the same folder asks nothing."""
    settings = {"model": str(STARTER), "max_tokens": 300}
    kinds = ["conversation", "detail"]
    here, counted = converse(tmp_path / "here", {"engine": "transformers", **settings}, kinds)
    remote = {"engine": "openai", "base_url": server, "concurrency": 2, **settings}
    there, counts = converse(tmp_path / "there", remote, kinds)
    assert [row["conversations"] for row in there] == [row["conversations"] for row in here]
    assert all(len(row["conversations"]) == 2 for row in there)
    assert counts == counted
    again, spent = converse(tmp_path / "there", remote, kinds)
    assert again == there
    assert (spent["calls"], spent["reused_replies"]) == (0, 4)


def test_nonsense_is_a_bad_reply(tmp_path: Path, server: str, storyteller: str) -> None:
    """The server does not know `response_format`: what is no JSON is asked for once more, then rejected, and kept."""
    chat = {"model": storyteller, "base_url": server, "max_tokens": 60}
    rows, counts = converse(tmp_path, chat, ["conversation"])
    assert [(row["_reason"], row["conversations"]) for row in rows] == [("bad_reply", None)] * 2
    assert all("".join(NONSENSE) in row["_detail"] for row in rows)
    assert (counts["calls"], counts["output_tokens"]) == (4, 4 * (len(NONSENSE) + 1))
    logged = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert logged.count("".join(NONSENSE).encode()) == 4


def test_endless_reply_is_cut(tmp_path: Path, server: str, storyteller: str) -> None:
    """A reply longer than `max_tokens` is told from a bad one."""
    rows, counts = converse(tmp_path, {"model": storyteller, "base_url": server, "max_tokens": 2}, ["detail"])
    assert [row["_reason"] for row in rows] == ["reply_cut"] * 2
    assert counts["output_tokens"] == 4


def test_model_that_does_not_load_is_an_error_of_the_server(tmp_path: Path, server: str) -> None:
    """The server answers 500 and hangs up, as for anything that fails in it: the rows wait for `retry`."""
    chat = {"model": str(tmp_path / "nowhere"), "base_url": server, "retries": 0}
    rows, counts = converse(tmp_path / "log", chat, ["detail"])
    assert {row["_reason"] for row in rows} <= {"llm_error", "llm_unreachable"}
    assert any("500: Internal Server Error" in row["_detail"] for row in rows)
    assert all(len(row["_detail"]) > len(f"detail: {server}: ") for row in rows)
    assert counts.get("input_tokens", 0) == 0
