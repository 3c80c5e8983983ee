"""A chat model behind an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any

import openai
from pydantic import BaseModel, ValidationError

from schemas.errors import FatalError, Reject
from stages.models.chat import ChatConfig, ChatReply, ChatRequest

__all__ = ["OpenAIChat"]

STYLES = ("json_schema", "json_object", "none")
"""Ways to ask for JSON, from the strictest down to nothing but the prompt."""

FORMAT_WORDS = ("response_format", "json_schema", "json_object", "structured output")
"""A 400 or 422 that mentions one of these refuses the way JSON was asked for, not the request."""

FATAL_STATUSES = (401, 403, 404)
"""Wrong key, no right to the model, no such model or address: no other request would fare better."""

LONGEST_RETRY_AFTER_S = 120.0
"""The openai client heeds a longer Retry-After by giving up."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    """The fields that are read of a chat completion; compatible servers differ in the others."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None


class OpenAIChat:
    """Sends requests concurrently; retries, back-off and Retry-After are the openai client's.

    A thread of its own runs the event loop, so that callers need none and connections outlive a call.
    """

    together = 1

    def __init__(self, config: ChatConfig) -> None:
        self.identity = f"openai {config.model} {config.temperature} {config.max_tokens} {config.seed}"
        self._config = config
        self._style = STYLES[0]
        self._client = _client(config)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="chat", daemon=True).start()

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
        """Yield each reply when it arrives; see ``ChatModel``."""
        positions = {
            asyncio.run_coroutine_threadsafe(self._answer(request), self._loop): position
            for position, request in enumerate(requests)
        }
        try:
            for future in as_completed(positions):
                yield positions[future], future.result()
        finally:
            for future in positions:
                future.cancel()

    async def _answer(self, request: ChatRequest) -> ChatReply | Reject:
        config = self._config
        longest = (config.retries + 1) * (config.timeout_s + LONGEST_RETRY_AFTER_S)
        async with self._slots:
            try:
                # The client's timeout is between bytes: without this one, a dripping server never ends.
                async with asyncio.timeout(longest):
                    return _reply(await self._send(request))
            except TimeoutError:
                return Reject("llm_error", f"no whole reply in {longest:.0f} s")
            except openai.APITimeoutError:
                return Reject("llm_error", f"no reply in {config.timeout_s:g} s")
            except openai.APIConnectionError as error:
                return Reject("llm_unreachable", f"{self._client.base_url}: {error.__cause__ or error}")
            except openai.APIStatusError as error:
                return self._refused(error)

    async def _send(self, request: ChatRequest) -> str:
        """Return the body of the completion, asking for JSON in the strictest way the server knows."""
        config = self._config
        while True:
            style = self._style
            body: dict[str, Any] = {
                "model": config.model,
                "messages": list(request.messages),
                "temperature": config.temperature,
                "max_tokens": config.max_tokens,
                **_response_format(style, request),
                **({} if config.seed is None else {"seed": config.seed}),
            }
            try:
                response = await self._client.chat.completions.with_raw_response.create(**body)
                return str(response.text)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if style == STYLES[-1] or not any(word in str(error).lower() for word in FORMAT_WORDS):
                    raise
                if self._style == style:  # else a request beside this one has stepped down already
                    self._style = STYLES[STYLES.index(style) + 1]

    def _refused(self, error: openai.APIStatusError) -> Reject:
        """Return what a failed request costs: its row, or by FatalError the run."""
        if error.status_code in FATAL_STATUSES:
            server, model = self._client.base_url, self._config.model
            raise FatalError(f"{server} refuses model {model}: {_one_line(error)}") from error
        reason = "prompt_too_long" if error.code == "context_length_exceeded" else "llm_error"
        return Reject(reason, _one_line(error))


def _client(config: ChatConfig) -> openai.AsyncOpenAI:
    """Make the client. A server of one's own mostly wants no key, but the client always does."""
    key = config.api_key.get_secret_value() if config.api_key else os.environ.get("OPENAI_API_KEY")
    base_url = config.base_url or os.environ.get("OPENAI_BASE_URL")
    if not key and not base_url:
        raise FatalError("no key for the chat server: set OPENAI_API_KEY or chat.api_key")
    return openai.AsyncOpenAI(
        api_key=key or "none", base_url=base_url, max_retries=config.retries, timeout=config.timeout_s
    )


def _response_format(style: str, request: ChatRequest) -> dict[str, Any]:
    if style == "none":
        return {}
    if style == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema = {"name": request.schema_name, "schema": request.schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _reply(body: str) -> ChatReply | Reject:
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        return Reject("llm_error", f"not a chat completion: {body[:200]!r}")
    usage = completion.usage or _Usage()
    if not completion.choices:
        return ChatReply("", "stop", usage.prompt_tokens, usage.completion_tokens)
    choice = completion.choices[0]
    finish_reason = "refusal" if choice.message.refusal else choice.finish_reason or "stop"
    text = choice.message.content or choice.message.refusal or ""
    return ChatReply(text, finish_reason, usage.prompt_tokens, usage.completion_tokens)


def _one_line(error: openai.APIStatusError) -> str:
    return " ".join(str(error).split())[:300]
