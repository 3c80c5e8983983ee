"""A bare AsyncOpenAI loop and Showtell's chat engine, same prompts, same server, same number in flight.

    python -m bench.chat [--prompts 2000] [--concurrency 64] [--rounds 5]

The server (`bench.chat_server`) answers after 50 ms, first without faults and then with them: 5% 429 with Retry-After,
1% 500, 0.5% resets, 2% replies with cut JSON. Each side is a process of its own; rows/s counts from the first request
to the last usable row and leaves out imports, CPU seconds are that process's. Showtell's side includes its log on the
disk, the reading of every reply, and asking again; then it runs a second time over the same log.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import openai

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
class Round:
    """What one side did with all prompts.

    Attributes:
        rows: rows kept.
        lost: prompts without a row.
        broken: rows kept that are empty or no valid JSON.
        wall_s, cpu_s: seconds.
        calls: requests the server got.
        second_calls: requests it got when the same was asked again.
    """

    rows: int
    lost: int
    broken: int
    wall_s: float
    cpu_s: float
    calls: int = 0
    second_calls: int | None = None


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


def bare(url: str, asked: Sequence[ChatRequest], concurrency: int, folder: Path) -> Round:
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
    kept = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    return Round(len(kept), len(asked) - len(kept), sum(map(is_broken, kept)), wall_s, cpu_s)


def showtell(url: str, asked: Sequence[ChatRequest], concurrency: int, folder: Path) -> Round:
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
    kept = [outcome for outcome in outcomes if not isinstance(outcome, Reject)]
    return Round(len(kept), len(asked) - len(kept), sum(map(is_broken, kept)), wall_s, cpu_s)


SIDES: dict[str, Callable[[str, Sequence[ChatRequest], int, Path], Round]] = {"bare loop": bare, "showtell": showtell}


@contextmanager
def serving(faults: bool, folder: Path) -> Iterator[str]:
    """Run a fresh server in a process of its own; gives the address."""
    port = folder / "port"
    command = [sys.executable, "-m", "bench.chat_server", str(port), *(["--faults"] if faults else [])]
    server = subprocess.Popen(command)
    try:
        while not port.exists() or not port.read_text():
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port.read_text()}/v1"
    finally:
        server.kill()
        server.wait()


def run(side: str, faults: bool, options: argparse.Namespace) -> Round:
    """Run one side against a fresh server; Showtell twice."""
    with tempfile.TemporaryDirectory() as name, serving(faults, Path(name)) as url:
        one = _in_process(side, url, Path(name), options)
        calls = _calls(url)
        again = None
        if side == "showtell":
            _in_process(side, url, Path(name), options)
            again = _calls(url) - calls
        return Round(**(asdict(one) | {"calls": calls, "second_calls": again}))


def _in_process(side: str, url: str, folder: Path, options: argparse.Namespace) -> Round:
    sizes = ["--prompts", str(options.prompts), "--concurrency", str(options.concurrency)]
    where = ["--side", side, "--url", url, "--folder", str(folder / "log")]
    command = [sys.executable, "-m", "bench.chat", *sizes, *where]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return Round(**json.loads(ended.stdout))


def _calls(url: str) -> int:
    with urllib.request.urlopen(f"{url}/calls") as answer:
        return int(answer.read())


def describe(one: Round, prompts: int) -> str:
    """Put a round in words."""
    second = "" if one.second_calls is None else f", second run {one.second_calls} calls"
    return (
        f"{prompts / one.wall_s:.0f} rows/s, {1000 * one.cpu_s / prompts:.2f} CPU s per 1,000, {one.lost} lost, "
        f"{one.broken} empty or broken kept, {one.calls} calls{second}"
    )


def main() -> None:
    """Print each round, the medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    for internal in ("--side", "--url", "--folder"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        one = SIDES[options.side](options.url, requests(options.prompts), options.concurrency, Path(options.folder))
        print(json.dumps(asdict(one)))
        return
    for faults in (False, True):
        name = "faulty" if faults else "clean"
        rounds: dict[str, list[Round]] = {side: [] for side in SIDES}
        for turn in range(options.rounds):
            for side in (SIDES if turn % 2 == 0 else reversed(SIDES)):
                rounds[side].append(run(side, faults, options))
                print(f"{name} {turn + 1}: {side}: {describe(rounds[side][-1], options.prompts)}", flush=True)
        for side, done in rounds.items():
            speed = statistics.median(options.prompts / one.wall_s for one in done)
            cpu = statistics.median(1000 * one.cpu_s / options.prompts for one in done)
            worst = f"at most {max(one.lost for one in done)} lost, {max(one.broken for one in done)} broken"
            print(f"median, {name}: {side}: {speed:.0f} rows/s, {cpu:.2f} CPU s per 1,000, {worst}")
        ratio = statistics.median(
            their.wall_s / our.wall_s for their, our in zip(rounds["bare loop"], rounds["showtell"], strict=True)
        )
        print(f"median, {name}: showtell is {ratio:.2f} times as fast as the bare loop")


if __name__ == "__main__":
    main()
