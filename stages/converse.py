"""Conversations about a sample, written by an LLM from its captions, boxes and spoken description.

After LLaVA (Liu et al. 2023, haotian-liu/LLaVA): three kinds of conversation, each from one request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pyarrow as pa
from pydantic import Field

from schemas.columns import BOXES, CONVERSATIONS, REJECTED_CONVERSATIONS
from schemas.errors import Reject
from stages.checks import Context
from stages.context import one_line, user_message
from stages.replies import ConversationKind, Kind
from stages.written import Outcomes, Written, WrittenConfig

__all__ = ["Converse", "ConverseConfig"]


class ConverseConfig(WrittenConfig):
    """Settings of ``converse``."""

    kinds: list[ConversationKind] = Field(["conversation", "detail", "reasoning"], min_length=1)
    """Kinds of conversation to write about each sample; each is one call."""

    def asked_kinds(self) -> list[Kind]:
        """Return the kinds, each once."""
        return list(dict.fromkeys(cast("list[Kind]", self.kinds)))


class Converse(Written[ConverseConfig]):
    """Asks an LLM for conversations, checks them, and asks once more where a reply is not usable."""

    name = "converse"
    version = 2
    Config = ConverseConfig
    consumes = pa.schema([("captions", pa.list_(pa.string())), ("boxes", BOXES)])
    optional = pa.schema([("transcript", pa.string()), ("dense_caption", pa.string())])
    produces = pa.schema([("conversations", CONVERSATIONS), ("rejected_conversations", REJECTED_CONVERSATIONS)])
    reasons = {
        "nothing_to_say": "the sample has no caption, no object and no transcript",
        **Written.reasons,
    }

    def said_nothing(self, row: Mapping[str, Any]) -> Reject | None:
        """Reject a row without caption, object and transcript, unless the model sees its image."""
        texts = [*(row["captions"] or []), row["transcript"], row["dense_caption"]]
        told = self.config.chat.send_image or row["boxes"] or any(one_line(text or "") for text in texts)
        return None if told else Reject("nothing_to_say")

    def question(self, row: Mapping[str, Any], kind: Kind) -> str:
        """Return captions, boxes and what was said, and the kind that is asked for."""
        return user_message(row["captions"] or [], row["boxes"], row["transcript"], kind, row["dense_caption"])

    def known(self, row: Mapping[str, Any]) -> Context:
        """Return all captions, boxes and the transcript, also what was too much to be asked about."""
        dense = [row["dense_caption"]] if row["dense_caption"] else []
        return Context([*dense, *filter(None, row["captions"] or [])], row["boxes"], row["transcript"])

    def gathered(self, outcomes: Outcomes) -> dict[str, Any] | Reject:
        """Return the conversations there are and why others were rejected; the last reason where there are none."""
        failed = {kind: outcome for kind, outcome in outcomes.items() if isinstance(outcome, Reject)}
        written = [outcome for outcome in outcomes.values() if not isinstance(outcome, Reject)]
        if not written:
            rejects = list(failed.values())
            return Reject(rejects[-1].reason, " | ".join(reject.detail for reject in rejects))
        self.counts.update(f"rejected_{reject.reason}" for reject in failed.values())
        told = [{"kind": kind, "reason": each.reason, "detail": each.detail} for kind, each in failed.items()]
        return {"conversations": written, "rejected_conversations": told}
