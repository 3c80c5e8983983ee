"""What a chat model is to a stage: requests in, replies out as they finish."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, TypedDict

from pydantic import Field, SecretStr, TypeAdapter, ValidationInfo, field_validator, model_validator

from schemas.config import SPEED, Frozen, ModelRef
from schemas.errors import FatalError, Paused, Reject
from schemas.storage import Storage

__all__ = [
    "FREE", "REASONS", "ChatConfig", "ChatModel", "ChatReply", "ChatRequest", "Gate", "Message", "Prices", "open_chat",
]

REASONS = {
    "content_filtered": "the provider's content filter stopped the prompt or the reply",
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
        image: an encoded image that goes with the first user message, for models that see.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any]
    schema_name: str
    image: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ChatReply:
    """What came back, paid for whether it is of use or not.

    Attributes:
        text: the reply, empty where there was none.
        finish_reason: ``stop``, ``length`` (cut at max_tokens), ``content_filter``, ``refusal`` or ``none`` (the
            server sent no choice at all).
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
            Paused: the money is used up. What was in flight has been yielded before.
        """

    def close(self) -> None:
        """Give back threads and connections."""


class Prices(Frozen):
    """What a model costs."""

    input_per_million: float = Field(ge=0)
    """US dollars for a million tokens of prompts."""
    output_per_million: float = Field(ge=0)
    """US dollars for a million tokens of replies."""

    def usd(self, input_tokens: float, output_tokens: float) -> float:
        """Return what so many tokens cost."""
        return (input_tokens * self.input_per_million + output_tokens * self.output_per_million) / 1e6


FREE = Prices(input_per_million=0, output_per_million=0)

LIST_PRICES = {
    "gpt-4.1": (2.0, 8.0), "gpt-4.1-mini": (0.4, 1.6), "gpt-4.1-nano": (0.1, 0.4),
    "gpt-4o": (2.5, 10.0), "gpt-4o-mini": (0.15, 0.6),
    "gpt-5": (1.25, 10.0), "gpt-5-mini": (0.25, 2.0), "gpt-5-nano": (0.05, 0.4),
}
"""OpenAI's list prices of 2025, dollars a million tokens in and out; ``prices`` in the config overrules them."""

BATCH_DISCOUNT = 0.5

DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class ChatConfig(Frozen):
    """Which chat model answers, and how it is asked."""

    engine: Literal["openai", "openai_batch", "transformers"] = "openai"
    """``openai``: a server that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, Ollama ...).
    ``openai_batch``: the same by the Batch API: half the price, up to 24 hours; each ``batch_rows`` rows are a batch.
    ``transformers``: a causal language model with a chat template, run in this process."""
    model: str
    """The model's name at the server; for ``transformers`` its folder or hub id."""
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
    send_image: bool = False
    """Send the sample's image along, for models that see; not for ``transformers``."""
    corrections: int = Field(1, ge=0, le=5)
    """Times a reply that is not what was asked for is asked again, with what is wrong; then it is ``bad_reply``."""
    concurrency: Annotated[int, SPEED] = Field(16, ge=1)
    """Most requests in flight at the server at once, per actor; fewer while the server refuses (429, 5xx)."""
    requests_per_min: Annotated[float | None, SPEED] = Field(None, gt=0)
    """Requests a minute the server's account allows; shared by the actors. By default no limit."""
    tokens_per_min: Annotated[float | None, SPEED] = Field(None, gt=0)
    """Tokens a minute, of prompts and replies, likewise."""
    timeout_s: Annotated[float, SPEED] = Field(120.0, gt=0)
    """Seconds the server may stay silent before a request counts as failed."""
    deadline_s: Annotated[float, SPEED] = Field(600.0, gt=0)
    """Seconds after which a request is given up, from when it was first sent, waits included."""
    poll_s: Annotated[float, SPEED] = Field(30.0, gt=0)
    """Seconds between two looks at a batch; for ``openai_batch``."""
    retries: Annotated[int, SPEED] = Field(4, ge=0, le=20)
    """Times a request is sent again after a 408, 409, 5xx or a lost connection. A 429 is no failure: it is sent again
    when the server says, until ``deadline_s``."""

    prices: Annotated[Prices | None, SPEED] = None
    """What the model costs: ``{input_per_million: 0.4, output_per_million: 1.6}``, in US dollars. By default OpenAI's
    list prices for its models; a local engine is free."""
    max_usd: Annotated[float | None, SPEED] = Field(None, ge=0)
    """Hard limit of what the stage may spend in this run directory, over all actors and attempts. Where the next
    request could pass it the run pauses (exit code 3); with a higher limit the same command goes on."""

    @field_validator("model")
    @classmethod
    def _resolve_local_model(cls, model: str, info: ValidationInfo) -> str:
        if info.data.get("engine") != "transformers":
            return model
        return TypeAdapter(ModelRef).validate_python(model, context=info.context)

    @model_validator(mode="after")
    def _greedy_and_blind_where_local(self) -> ChatConfig:
        if self.engine == "transformers" and self.temperature:
            raise ValueError(f"temperature: {self.temperature} must be 0 for engine transformers")
        if self.engine == "transformers" and self.send_image:
            raise ValueError("send_image: true needs engine openai or openai_batch")
        return self

    @model_validator(mode="after")
    def _limit_needs_prices(self) -> ChatConfig:
        if self.max_usd is not None and self.known_prices() is None:
            raise ValueError(f"max_usd: {self.max_usd} needs prices: the price of {self.model} is not known")
        return self

    def known_prices(self) -> Prices | None:
        """Return what the model costs; None where nobody has said."""
        if self.engine == "transformers":
            return FREE
        listed = LIST_PRICES.get(DATED.sub("", self.model))
        if self.prices or listed is None:
            return self.prices
        share = BATCH_DISCOUNT if self.engine == "openai_batch" else 1.0
        return Prices(input_per_million=share * listed[0], output_per_million=share * listed[1])


class Gate(Protocol):
    """Who is asked before money is spent.

    Attributes:
        pending: requests that money is reserved for.
        outside: dollars that may still be charged for requests sent by processes that are gone.
    """

    pending: int
    outside: float

    def worst(self, request: ChatRequest) -> float:
        """Return what a request may cost at most, in dollars."""

    def take(self, usd: float) -> bool:
        """Reserve so much, or tell that it is not there."""

    def release(self, usd: float) -> None:
        """Give back what was reserved for a request that has come back."""

    def book(self, reply: ChatReply) -> None:
        """Count what a reply cost."""

    def exhausted(self) -> Paused:
        """Return the error that says so."""


def open_chat(
    config: ChatConfig, folder: Storage | None = None, gate: Gate | None = None, actors: int = 1
) -> ChatModel:
    """Connect to the server or load the weights.

    Args:
        config: the settings.
        folder: where the replies are kept, and ``openai_batch`` its batches.
        gate: lets requests pass that there is money for; by default all.
        actors: how many processes share the server's rates.

    Raises:
        FatalError: there is no key, or the model does not load.
    """
    if config.engine == "openai":
        from stages.models.chat_openai import OpenAIChat

        return OpenAIChat(config, gate, actors)
    if config.engine == "openai_batch":
        from stages.models.chat_openai_batch import OpenAIBatch

        if folder is None:
            raise FatalError("openai_batch needs a folder to remember its batches in")
        return OpenAIBatch(config, folder, gate)
    from stages.models.chat_transformers import TransformersChat

    return TransformersChat(config)
