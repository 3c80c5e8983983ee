"""What an LLM must reply for each kind of conversation, and the messages a reply becomes."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator

from schemas.errors import Reject
from stages.context import MARKUP
from stages.models.asking import QUOTE
from stages.models.chat import ChatReply, Message
from stages.models.structured import json_in

__all__ = [
    "REASONS", "REPLIES", "Caption", "Conversation", "ConversationKind", "Description", "Kind", "Reasoning", "Reply",
    "read_reply",
]

ConversationKind = Literal["conversation", "detail", "reasoning"]

Kind = Literal[ConversationKind, "caption"]

REASONS = {
    "bad_reply": "the reply is not what was asked for, asked again `corrections` times",
    "empty_reply": "the reply is empty, or the server sent none",
    "refused": "the model refused to reply",
    "reply_cut": "the reply was longer than max_tokens",
}
"""Why a reply is of no use."""

MAX_TURNS = 8


def _checked(text: str) -> str:
    """Return the text stripped; raises ValueError for what must not stand in a dataset."""
    text = text.strip()
    if not text:
        raise ValueError("it is empty")
    if MARKUP.search(text) or any(unicodedata.category(sign) == "Cc" for sign in text if sign not in "\n\t"):
        raise ValueError("it holds markup or control characters")
    return text


Text = Annotated[str, AfterValidator(_checked)]


class _Strict(BaseModel):
    """Constraints are validators, not schema keywords: strict structured output knows only some of those."""

    model_config = ConfigDict(extra="forbid")


class Turn(_Strict):
    """One question and its answer."""

    question: Text
    answer: Text


class Conversation(_Strict):
    """The reply for ``conversation``: 1 to 8 turns."""

    turns: list[Turn]

    @field_validator("turns")
    @classmethod
    def _some(cls, turns: list[Turn]) -> list[Turn]:
        if not 1 <= len(turns) <= MAX_TURNS:
            raise ValueError(f"{len(turns)} turns; there must be 1 to {MAX_TURNS}")
        return turns

    def messages(self, instruction: str) -> list[Message]:
        """Return the turns as messages; the instruction is not used."""
        return [message for turn in self.turns for message in exchange(turn.question, turn.answer)]


class Description(_Strict):
    """The reply for ``detail``."""

    description: Text

    def messages(self, instruction: str) -> list[Message]:
        """Return the description as the answer to ``instruction``."""
        return exchange(instruction, self.description)


class Caption(_Strict):
    """The reply for ``caption``."""

    caption: Text

    def messages(self, instruction: str) -> list[Message]:
        """Return the caption as the answer to ``instruction``."""
        return exchange(instruction, self.caption)


class Reasoning(_Strict):
    """The reply for ``reasoning``."""

    question: Text
    answer: Text

    def messages(self, instruction: str) -> list[Message]:
        """Return question and answer; the instruction is not used."""
        return exchange(self.question, self.answer)


Reply = Conversation | Description | Reasoning | Caption

REPLIES: dict[Kind, type[Reply]] = {
    "conversation": Conversation, "detail": Description, "reasoning": Reasoning, "caption": Caption,
}


def exchange(question: str, answer: str) -> list[Message]:
    """Return a user's question and the assistant's answer as messages."""
    return [Message(role="user", content=question), Message(role="assistant", content=answer)]


def read_reply(kind: Kind, reply: ChatReply) -> Reply:
    """Parse and check a reply; what stands around the JSON and small faults in it are forgiven (``json_in``).

    Raises:
        Reject: with one of ``REASONS`` or ``content_filtered``; the detail names the kind and quotes the reply.
    """
    if reply.finish_reason == "content_filter":
        raise Reject("content_filtered", _quoted(kind, "the reply was filtered", reply.text))
    if reply.finish_reason == "refusal":
        raise Reject("refused", _quoted(kind, reply.finish_reason, reply.text))
    if reply.finish_reason == "length":
        raise Reject("reply_cut", _quoted(kind, f"cut after {reply.output_tokens} tokens", reply.text))
    if not reply.text.strip():
        raise Reject("empty_reply", f"{kind}: no choice" if reply.finish_reason == "none" else kind)
    try:
        return REPLIES[kind].model_validate_json(json_in(reply.text))
    except ValidationError as error:
        raise Reject("bad_reply", _quoted(kind, _problem(error), reply.text)) from error


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def _quoted(kind: Kind, problem: str, text: str) -> str:
    """Return the detail of a reject; ascii, as a reply may hold what UTF-8 cannot."""
    return f"{kind}: {problem}{QUOTE}{text[:200]!a}" if text else f"{kind}: {problem}"
