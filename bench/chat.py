"""A bare AsyncOpenAI loop, bespokelabs-curator and Showtell's chat engine: same prompts, server and number in flight.

    python -m bench.chat [--prompts 2000] [--concurrency 64] [--rounds 5] [--curator PYTHON]

The server (`bench.chat_server`) answers after 50 ms, first without faults and then with them: 5% 429 with Retry-After,
1% 500, 0.5% resets, 2% replies with cut JSON. Each side is a process of its own; rows/s counts from the first request
to the last usable row and leaves out imports, CPU seconds are that process's. Showtell's side includes its log on the
disk, the reading of every reply, and asking again; curator's (`bench.chat_curator`, in a Python that has it) includes
its files of requests and responses, and asking again for what is not of its schema. Both then run a second time over
what they have kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import openai

from bench.processes import output_of, serving
from schemas.errors import Reject
from schemas.storage import Storage
from stages.context import user_message
from stages.models.asking import ask_until_usable
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message
from stages.models.logged_chat import open_logged_chat
from stages.prompts import prompt_file, read_prompt
from stages.replies import REPLIES, read_reply

SCHEMA = REPLIES["detail"].model_json_schema()
CAPTIONS = ("A red boat lies at the quay of a small harbour.", "Two people on a bench look out over the water.")


@dataclass(frozen=True)
class Asked:
    """What one process made of all prompts: the texts it kept as rows, wall and CPU seconds."""

    kept: Sequence[str | None]
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Round:
    """What one side did with all prompts.

    Attributes:
        rows: rows kept.
        lost: prompts without a row.
        broken: rows kept that are empty or no valid JSON.
        wall_s, cpu_s: seconds.
        calls: requests the server got.
        second_calls: requests it got when the same was asked again; None where nothing is kept to that end.
    """

    rows: int
    lost: int
    broken: int
    wall_s: float
    cpu_s: float
    calls: int
    second_calls: int | None


def requests(prompts: int) -> list[ChatRequest]:
    """Return the prompts: what `converse` sends for `detail`, with a number in it."""
    system = Message(role="system", content=read_prompt(prompt_file("detail")).system("plain"))
    texts = (user_message([f"photograph {number}", *CAPTIONS], None, None, "detail") for number in range(prompts))
    return [ChatRequest((system, Message(role="user", content=text)), SCHEMA, "detail") for text in texts]


def is_broken(text: str | None) -> bool:
    """Tell whether a text kept as a row is of no use."""
    try:
        return not text or read_reply("detail", ChatReply(text, "stop", 0, 0)) is None
    except Reject:
        return True


def bare(url: str, asked: Sequence[ChatRequest], concurrency: int, folder: Path) -> Asked:
    """Ask by a plain loop over the openai client with its own retries, as one would write it by hand."""
    client, slots = openai.AsyncOpenAI(api_key="none", base_url=url), asyncio.Semaphore(concurrency)
    schema = {"name": "detail", "schema": SCHEMA, "strict": True}

    create: Any = client.chat.completions.create

    async def one(request: ChatRequest) -> str | None:
        async with slots:
            completion = await create(
                model="mock", messages=list(request.messages), temperature=0, max_tokens=1024,
                response_format={"type": "json_schema", "json_schema": schema},
            )
            text: str | None = completion.choices[0].message.content
            return text

    async def every() -> list[str | BaseException | None]:
        return await asyncio.gather(*map(one, asked), return_exceptions=True)

    started, cpu = time.perf_counter(), time.process_time()
    outcomes = asyncio.run(every())
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    return Asked([outcome for outcome in outcomes if not isinstance(outcome, BaseException)], wall_s, cpu_s)


def showtell(url: str, asked: Sequence[ChatRequest], concurrency: int, folder: Path) -> Asked:
    """Ask by the chat engine, its log, and the reading of replies that asks again."""
    config = ChatConfig(model="mock", base_url=url, concurrency=concurrency)

    def read(_: int, reply: ChatReply) -> str:
        read_reply("detail", reply)
        return reply.text

    started, cpu = time.perf_counter(), time.process_time()
    chat = open_logged_chat(config, Storage(str(folder)))
    outcomes = ask_until_usable(chat, asked, read, Counter(), {"bad_reply": 3})
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    chat.close()
    return Asked([outcome for outcome in outcomes if not isinstance(outcome, Reject)], wall_s, cpu_s)


SIDES: dict[str, Callable[[str, Sequence[ChatRequest], int, Path], Asked]] = {"bare loop": bare, "showtell": showtell}
"""The sides that run in this Python."""

CURATOR = "curator"

REMEMBERS = ("showtell", CURATOR)
"""The sides that keep replies, so that a second run need not ask."""


def has_curator(python: Path | None) -> bool:
    """Tell whether a Python has bespokelabs-curator, and say so where it has not."""
    if python is None:
        print("curator: skipped, as no --curator PYTHON is given")
        return False
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('bespokelabs') is None)"
    if subprocess.run([str(python), "-c", look]).returncode:
        print(f"curator: skipped, as {python} has no bespokelabs-curator")
        return False
    return True


def run(side: str, faults: bool, options: argparse.Namespace) -> Round:
    """Run one side against a fresh server; twice where it remembers."""
    flags = ["--faults"] if faults else []
    with tempfile.TemporaryDirectory() as name, serving("bench.chat_server", flags, Path(name)) as address:
        url = f"{address}/v1"
        one = _in_process(side, url, Path(name), options)
        calls, again = _calls(url), None
        if side in REMEMBERS:
            _in_process(side, url, Path(name), options)
            again = _calls(url) - calls
        lost, broken = options.prompts - len(one.kept), sum(map(is_broken, one.kept))
        return Round(len(one.kept), lost, broken, one.wall_s, one.cpu_s, calls, again)


def _in_process(side: str, url: str, folder: Path, options: argparse.Namespace) -> Asked:
    command = _curator_command(folder, options) if side == CURATOR else _own_command(side, url, folder, options)
    environment = _curator_environment(url, folder) if side == CURATOR else {}
    return Asked(**json.loads(output_of(command, environment, folder / "side.log")))


def _own_command(side: str, url: str, folder: Path, options: argparse.Namespace) -> list[str]:
    sizes = ["--prompts", str(options.prompts), "--concurrency", str(options.concurrency)]
    where = ["--side", side, "--url", url, "--folder", str(folder / "log")]
    return [sys.executable, "-m", "bench.chat", *sizes, *where]


def _curator_command(folder: Path, options: argparse.Namespace) -> list[str]:
    prompts, script = folder / "prompts.json", Path(__file__).with_name("chat_curator.py")
    prompts.write_text(json.dumps([request.messages for request in requests(options.prompts)]))
    return [str(options.curator), str(script), str(prompts), str(options.concurrency)]


def _curator_environment(url: str, folder: Path) -> dict[str, str]:
    """Return where curator finds the server and keeps everything; nothing is told or asked elsewhere."""
    return {
        "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none", "CURATOR_CACHE_DIR": str(folder / "cache"),
        "CURATOR_VIEWER": "0", "TELEMETRY_ENABLED": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "HOME": str(folder),
    }


def _calls(url: str) -> int:
    with urllib.request.urlopen(f"{url}/calls") as answer:
        return int(answer.read())


def describe(one: Round, prompts: int) -> str:
    """Put a round in words."""
    second = "" if one.second_calls is None else f", second run {one.second_calls} calls"
    return (
        f"{prompts / one.wall_s:.0f} rows/s, {1000 * one.cpu_s / prompts:.2f} CPU s per 1,000, {one.rows} kept, "
        f"{one.lost} lost, {one.broken} empty or broken kept, {one.calls} calls{second}"
    )


def main() -> None:
    """Print each round, the medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--curator", type=Path, metavar="PYTHON", help="a Python with bespokelabs-curator")
    for internal in ("--side", "--url", "--folder"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        one = SIDES[options.side](options.url, requests(options.prompts), options.concurrency, Path(options.folder))
        print(json.dumps(asdict(one)))
        return
    sides = [*SIDES, *([CURATOR] if has_curator(options.curator) else [])]
    for faults in (False, True):
        name = "faulty" if faults else "clean"
        rounds: dict[str, list[Round]] = {side: [] for side in sides}
        for turn in range(options.rounds):
            for side in (sides if turn % 2 == 0 else reversed(sides)):
                rounds[side].append(run(side, faults, options))
                print(f"{name} {turn + 1}: {side}: {describe(rounds[side][-1], options.prompts)}", flush=True)
        for side, done in rounds.items():
            speed = statistics.median(options.prompts / one.wall_s for one in done)
            cpu = statistics.median(1000 * one.cpu_s / options.prompts for one in done)
            worst = f"at most {max(one.lost for one in done)} lost, {max(one.broken for one in done)} broken"
            print(f"median, {name}: {side}: {speed:.0f} rows/s, {cpu:.2f} CPU s per 1,000, {worst}")
        for side in sides:
            if side != "showtell":
                pairs = zip(rounds[side], rounds["showtell"], strict=True)
                ratio = statistics.median(their.wall_s / our.wall_s for their, our in pairs)
                print(f"median, {name}: showtell is {ratio:.2f} times as fast as {side}")


if __name__ == "__main__":
    main()
