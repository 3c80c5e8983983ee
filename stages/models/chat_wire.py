"""OpenAI's chat completions as they go over the wire: requests, replies, refusals."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

import openai
from pydantic import BaseModel, ValidationError

from schemas.errors import FatalError, Paused, Reject
from stages.models.chat import ChatConfig, ChatReply, ChatRequest
from stages.models.pacing import retry_after_s

__all__ = [
    "FORMAT_STATUSES", "Failure", "failure_of", "message_fields", "one_line",
    "read_completion", "refusal_of", "said_by",
]

FATAL_STATUSES = (401, 403, 404)
"""Wrong key, no right to the model, no such model or address: no other request would fare better."""

NO_SUCH_MODEL = re.compile(
    r"\bmodel_not_found\b|\bpinned to\b|\bmodel\b.{0,80}\b(?:not found|does not exist)\b|\bunknown model\b",
    re.IGNORECASE,
)
"""How servers say so with another status; ``transformers serve MODEL`` is pinned to its model, with 400."""

FORMAT_STATUSES = (400, 422, 501)
"""With these a server may refuse the way JSON was asked for."""

PASSING_STATUSES = (408, 409)
BUSY = 429
SERVER_FAULT = 500

TOO_LONG = re.compile(r"context.?(length|window|size)|too many tokens|prompt is too long", re.IGNORECASE)
FILTERED = re.compile(r"content.?(filter|policy)|content management policy", re.IGNORECASE)

SIGNATURES = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp"}


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


@dataclass(frozen=True)
class Failure:
    """Why an attempt gave no reply, and what to do about it.

    Attributes:
        reject: the outcome of the request, if this was the last attempt.
        again: another attempt may fare better.
        counts: as one of the ``retries``; being told to wait does not.
        refused: the server has too much to do.
        wait_s: how long it asks to wait.
    """

    reject: Reject
    again: bool = False
    counts: bool = True
    refused: bool = False
    wait_s: float | None = None


def message_fields(config: ChatConfig, request: ChatRequest) -> dict[str, Any]:
    """Return the fields of a request that every server understands."""
    seed = {} if config.seed is None else {"seed": config.seed}
    return {"model": config.model, "messages": _messages(request), "temperature": config.temperature, **seed}


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [dict(message) for message in request.messages]
    if request.image is not None:
        first = next(message for message in messages if message["role"] == "user")
        image = {"type": "image_url", "image_url": {"url": _data_url(request.image)}}
        first["content"] = [{"type": "text", "text": first["content"]}, image]
    return messages


def _data_url(image: bytes) -> str:
    kind = next((kind for start, kind in SIGNATURES.items() if image.startswith(start)), "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def read_completion(body: bytes | str) -> ChatReply | Reject:
    """Return what a completion says; paid for, so anything but foreign JSON is a reply."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        shown = body.decode(errors="replace") if isinstance(body, bytes) else body
        return Reject("llm_error", f"not a chat completion: {shown[:200]!r}")
    usage = completion.usage or _Usage()
    if not completion.choices:
        return ChatReply("", "none", usage.prompt_tokens, usage.completion_tokens)
    choice = completion.choices[0]
    finish_reason = "refusal" if choice.message.refusal else choice.finish_reason or "stop"
    text = choice.message.content or choice.message.refusal or ""
    return ChatReply(text, finish_reason, usage.prompt_tokens, usage.completion_tokens)


def failure_of(error: openai.OpenAIError, config: ChatConfig, server: str) -> Failure:
    """Return what an error of the client means for its request.

    Raises:
        FatalError: no other request would fare better.
        Paused: the account is out of money.
    """
    if isinstance(error, openai.APITimeoutError):
        return Failure(Reject("llm_error", f"no reply in {config.timeout_s:g} s"), again=True, refused=True)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        why = f"{server}: {str(cause) or type(cause).__name__}"
        return Failure(Reject("llm_unreachable", why), again=True, refused=True)
    if not isinstance(error, openai.APIStatusError):
        return Failure(Reject("llm_error", one_line(error)))
    wait_s = retry_after_s(error.response.headers)
    return refusal_of(error.status_code, error.code, said_by(error), config, server, wait_s)


def refusal_of(
    status: int, code: str | None, said: str, config: ChatConfig, server: str, wait_s: float | None = None
) -> Failure:
    """Return what an HTTP status other than 2xx means for its request; raises like ``failure_of``."""
    if code == "insufficient_quota":
        raise Paused(f"{server} takes no more requests until the account is topped up: {said}")
    if status in FATAL_STATUSES:
        raise FatalError(f"{server} refuses model {config.model}: {said}")
    if status == BUSY or status >= SERVER_FAULT or status in PASSING_STATUSES:
        return Failure(
            Reject("llm_error", said), again=True, counts=status != BUSY, refused=status not in PASSING_STATUSES,
            wait_s=wait_s,
        )
    if NO_SUCH_MODEL.search(f"{code} {said}"):
        raise FatalError(f"{server} refuses model {config.model}: {said}")
    if code == "context_length_exceeded" or TOO_LONG.search(said):
        return Failure(Reject("prompt_too_long", said))
    if code == "content_filter" or FILTERED.search(said):
        return Failure(Reject("content_filtered", said))
    return Failure(Reject("llm_error", said))


def said_by(error: openai.APIStatusError) -> str:
    """Return what the server said, on one line, shortened; the client itself reads only a body's ``error``."""
    known = one_line(error)
    body = " ".join(error.response.text.split())
    return f"{known}: {body}"[:300] if error.body and known == f"Error code: {error.status_code}" else known


def one_line(error: Exception) -> str:
    """Return an error's message on one line, shortened."""
    return " ".join(str(error).split())[:300]
