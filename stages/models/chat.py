"""What a chat model is to a stage: requests in, replies out as they finish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypedDict

from pydantic import Field, SecretStr, TypeAdapter, ValidationInfo, field_validator, model_validator

from schemas.config import SPEED, Frozen, ModelRef
from schemas.errors import Reject

__all__ = ["REASONS", "ChatConfig", "ChatModel", "ChatReply", "ChatRequest", "Message", "open_chat"]

REASONS = {
    "llm_error": "the chat server gave no usable answer after all retries",
    "llm_unreachable": "nothing answers at the chat server's address",
    "prompt_too_long": "the prompt does not fit the model's context",
}
"""Why a chat model may give no reply. Such requests are not logged: they may be sent again."""


class Message(TypedDict):
    """One message of a chat: ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """What is asked.

    Attributes:
        messages: the chat so far, the system message first.
        schema: JSON schema the reply should follow; engines that cannot enforce it ignore it.
        schema_name: its name, letters and underscores.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any]
    schema_name: str


@dataclass(frozen=True)
class ChatReply:
    """What came back, paid for whether it is of use or not.

    Attributes:
        text: the reply, empty where there was none.
        finish_reason: ``stop``, ``length`` (cut at max_tokens), ``content_filter`` or ``refusal``.
        input_tokens: tokens of the prompt; 0 where the server does not tell.
        output_tokens: tokens of the reply, likewise.
    """

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int


class ChatModel(Protocol):
    """An engine.

    Attributes:
        identity: everything but the messages and the schema that decides a reply: model, sampling settings.
        together: how many requests in a row are answered as one batch, so that the numbers of one may touch
            another's; 1 where each stands alone.
    """

    identity: str
    together: int

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
        """Yield (position in ``requests``, outcome) as each finishes, in any order, each position once.

        Raises:
            FatalError: no request can succeed (wrong key, unknown model).
        """


class ChatConfig(Frozen):
    """Which chat model answers, and how it is asked."""

    engine: Literal["openai", "transformers"] = "openai"
    """``openai``: a server that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, Ollama ...).
    ``transformers``: a causal language model with a chat template, run in this process."""
    model: str
    """``openai``: the model's name at the server. ``transformers``: its folder or hub id."""
    base_url: Annotated[str | None, SPEED] = None
    """Address of the server, such as ``http://127.0.0.1:8000/v1``; by default OPENAI_BASE_URL, else OpenAI's.
    The same model at another address is taken to give the same replies."""
    api_key: Annotated[SecretStr | None, SPEED] = None
    """Key of the server; by default OPENAI_API_KEY. Write it as ``${NAME}``."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature; 0 takes the likeliest token. ``transformers`` knows only 0."""
    max_tokens: int = Field(1024, ge=1)
    """Longest reply, in tokens."""
    seed: int | None = None
    """Sampling seed sent to the server; by default none, as some servers refuse the field."""
    concurrency: Annotated[int, SPEED] = Field(16, ge=1)
    """Requests in flight at the server at once, per actor."""
    timeout_s: Annotated[float, SPEED] = Field(120.0, gt=0)
    """Seconds the server may stay silent before a request counts as failed."""
    retries: Annotated[int, SPEED] = Field(4, ge=0, le=20)
    """Times a request is sent again after a 408, 409, 429, 5xx or a lost connection."""

    @field_validator("model")
    @classmethod
    def _resolve_local_model(cls, model: str, info: ValidationInfo) -> str:
        if info.data.get("engine") != "transformers":
            return model
        return TypeAdapter(ModelRef).validate_python(model, context=info.context)

    @model_validator(mode="after")
    def _greedy_where_local(self) -> ChatConfig:
        if self.engine == "transformers" and self.temperature:
            raise ValueError(f"temperature: {self.temperature} must be 0 for engine transformers")
        return self


def open_chat(config: ChatConfig) -> ChatModel:
    """Connect to the server or load the weights.

    Raises:
        FatalError: there is no key, or the model does not load.
    """
    if config.engine == "openai":
        from stages.models.chat_openai import OpenAIChat

        return OpenAIChat(config)
    from stages.models.chat_transformers import TransformersChat

    return TransformersChat(config)
