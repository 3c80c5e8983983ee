"""A chat model behind an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import httpx2
import openai

from schemas.errors import Reject
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Gate
from stages.models.chat_client import async_client
from stages.models.chat_wire import (
    FORMAT_STATUSES,
    Failure,
    failure_of,
    message_fields,
    read_completion,
    said_by,
)
from stages.models.identity import identity
from stages.models.pacing import Pace, RateLimit, backoff_s
from stages.models.structured import Dialect
from stages.models.tokens import estimated_tokens

__all__ = ["OpenAIChat"]

JSON_BODY: openai.RequestOptions = {"headers": {"Content-Type": "application/json"}}

Outcome = tuple[int, ChatReply | Reject]


@dataclass
class _Call:
    """One call of ``complete``: where its outcomes go, and why no more of its requests are sent."""

    outcomes: SimpleQueue[Outcome | None]
    error: Exception | None = None


class OpenAIChat:
    """Sends requests concurrently and is the only one that sends them again.

    A thread of its own runs the event loop, so that callers need none and connections outlive a call. Several threads
    may call ``complete`` at once: they share the pace, the rates and what is known of the server.
    """

    together = 1

    def __init__(self, config: ChatConfig, gate: Gate | None = None, actors: int = 1) -> None:
        self.identity = identity(config)
        self._config = config
        self._gate = gate
        self._client = async_client(config)
        self._dialect = Dialect()
        self._first = asyncio.Lock()
        self._freed = asyncio.Event()
        self._pace = Pace(config.concurrency)
        self._requests = RateLimit(config.requests_per_min and config.requests_per_min / actors)
        self._tokens = RateLimit(config.tokens_per_min and config.tokens_per_min / actors)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat", daemon=True)
        self._thread.start()

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[Outcome]:
        """Yield each reply when it arrives; see ``ChatModel``."""
        call = _Call(SimpleQueue())
        running = asyncio.run_coroutine_threadsafe(self._answer_all(requests, call), self._loop)
        running.add_done_callback(lambda _: call.outcomes.put(None))
        try:
            while (outcome := call.outcomes.get()) is not None:
                yield outcome
            running.result()
        finally:
            running.cancel()

    def close(self) -> None:
        """Close the connections and end the thread."""
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _answer_all(self, requests: Sequence[ChatRequest], call: _Call) -> None:
        """Send requests as places get free, until all are sent or one has shown that there is no use."""
        async with asyncio.TaskGroup() as tasks:
            for position, request in enumerate(requests):
                reserved = await self._admit(request, call)
                if call.error is not None:
                    break
                delivery = self._deliver(position, request, reserved, call)
                if self._dialect.is_settled:
                    tasks.create_task(delivery)
                    continue
                async with self._first:  # alone, the first request finds out what the server understands
                    await delivery
                    self._dialect.is_settled = True
        if call.error is not None:
            raise call.error

    async def _admit(self, request: ChatRequest, call: _Call) -> float:
        """Wait for money, a place in flight and the rates; return the dollars reserved."""
        worst = 0.0
        if self._gate is not None:
            worst = self._gate.worst(request)
            while not self._gate.take(worst):
                if not self._gate.pending:
                    call.error = call.error or self._gate.exhausted()
                    return 0.0
                self._freed.clear()
                await self._freed.wait()
        await self._pace.enter()
        await self._keep_rates(request)
        return worst

    async def _keep_rates(self, request: ChatRequest) -> None:
        tokens = estimated_tokens(request) if self._config.tokens_per_min else 0
        wait = max(self._requests.take(1), self._tokens.take(tokens))
        if wait:
            await asyncio.sleep(wait)

    async def _deliver(self, position: int, request: ChatRequest, reserved: float, call: _Call) -> None:
        """Hand over the outcome of one request that holds a place in flight."""
        outcome: ChatReply | Reject | None = None
        try:
            outcome = await self._answer(request, call)
            call.outcomes.put((position, outcome))
        except Exception as error:
            call.error = call.error or error
        finally:
            if self._gate is not None:
                if isinstance(outcome, ChatReply):
                    self._gate.book(outcome)
                self._gate.release(reserved)
                self._freed.set()

    async def _answer(self, request: ChatRequest, call: _Call) -> ChatReply | Reject:
        config, failures = self._config, 0
        last = Reject("llm_error", f"no whole reply in {config.deadline_s:g} s")
        try:
            async with asyncio.timeout(config.deadline_s):
                for attempt in itertools.count():
                    outcome = await self._attempt(request)
                    if not isinstance(outcome, Failure):
                        return outcome
                    last, failures = outcome.reject, failures + outcome.counts
                    if not outcome.again or failures > config.retries or call.error is not None:
                        break
                    await self._wait(outcome, attempt)
                    await self._pace.enter(again=True)
                    await self._keep_rates(request)
        except TimeoutError:
            pass
        return last

    async def _wait(self, failure: Failure, attempt: int) -> None:
        if failure.wait_s is None:
            await asyncio.sleep(backoff_s(attempt))
            return
        self._pace.hold(failure.wait_s)
        await asyncio.sleep(failure.wait_s * (1 + random.random() / 10))  # not all of them at the same moment

    async def _attempt(self, request: ChatRequest) -> ChatReply | Reject | Failure:
        """Send a request that holds a place in flight, and give the place back."""
        refused = True
        try:
            reply = read_completion(await self._post(request))
            refused = False
            if isinstance(reply, ChatReply) and self._config.tokens_per_min:
                self._tokens.take(reply.input_tokens + reply.output_tokens - estimated_tokens(request))
            return reply
        except openai.OpenAIError as error:
            failure = failure_of(error, self._config, str(self._client.base_url))
            refused = failure.refused
            return failure
        finally:
            self._pace.leave(refused)

    async def _post(self, request: ChatRequest) -> bytes:
        """Return the body of the completion, asking for JSON in the strictest way the server knows."""
        fields = message_fields(self._config, request)
        while True:
            varied = self._dialect.fields(request, self._config.max_tokens)
            body = json.dumps({**fields, **varied}).encode()
            try:
                # The typed method would walk through every field of request and reply: half the cost of a call.
                response = await self._client.post(
                    "/chat/completions", cast_to=httpx2.Response, content=body, options=JSON_BODY
                )
            except openai.APIStatusError as error:
                if error.status_code not in FORMAT_STATUSES or not self._dialect.simpler(varied, said_by(error)):
                    raise
                continue
            return response.content
