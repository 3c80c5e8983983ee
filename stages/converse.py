"""Conversations about a sample, written by an LLM from its captions, boxes and spoken description.

After LLaVA (Liu et al. 2023, haotian-liu/LLaVA): three kinds of conversation, each from one request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from schemas.columns import BOXES, CONVERSATIONS, REJECTED_CONVERSATIONS
from schemas.config import StageConfig
from schemas.errors import Reject
from stages.base import Stage, rows_to_table
from stages.checks import CheckConfig, Context
from stages.context import one_line, user_message
from stages.models.asking import ask_until_usable
from stages.models.chat import REASONS as CHAT_REASONS
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message
from stages.models.cost import estimated_cost
from stages.models.logged_chat import open_logged_chat
from stages.prompts import VERSION, prompt_file, system_prompt
from stages.replies import REASONS as REPLY_REASONS
from stages.replies import REPLIES, Kind, read_reply
from stages.vetting import REASONS as VETTING_REASONS
from stages.vetting import UNSUPPORTED, OnUnsupported, Vetting
from stages.wordings import DETAIL, drawn

__all__ = ["Converse", "ConverseConfig"]

UNANSWERED = {"llm_error", "llm_unreachable"}

IMAGE = pa.field("image_bytes", pa.large_binary())

BATCHES_AT_ONCE = 32
"""Batches take hours, however many there are."""

TYPICAL_TOKENS: dict[Kind, int] = {"conversation": 350, "detail": 200, "reasoning": 250}
"""How long replies are about, to estimate costs before there is any."""


class ConverseConfig(StageConfig):
    """Settings of ``converse``."""

    kinds: list[Kind] = Field(["conversation", "detail", "reasoning"], min_length=1)
    """Kinds of conversation to write about each sample; each is one call."""
    chat: ChatConfig
    """The model that writes them."""
    check: CheckConfig = CheckConfig()
    """What each conversation is checked for before it is kept; ``types: []`` checks nothing."""
    on_unsupported: OnUnsupported = "repair"
    """What becomes of a conversation with findings. ``repair``: the model is told them and asked once more; if there
    are findings still, it is rejected. ``reject``: at once. ``keep``: it is kept, with its findings beside it."""
    batch_rows: int = Field(64, ge=1)
    """Rows asked about together. Not a speed setting here: a local model's numbers can depend on its batch."""


@dataclass(frozen=True)
class _Job:
    """One kind of conversation about one row."""

    row: int
    kind: Kind
    instruction: str
    request: ChatRequest
    context: Context


class Converse(Stage[ConverseConfig]):
    """Asks an LLM for conversations, checks them, and asks once more where a reply is not usable."""

    name = "converse"
    version = 2
    Config = ConverseConfig
    consumes = pa.schema([("captions", pa.list_(pa.string())), ("boxes", BOXES)])
    optional = pa.schema([("transcript", pa.string())])
    produces = pa.schema([("conversations", CONVERSATIONS), ("rejected_conversations", REJECTED_CONVERSATIONS)])
    reasons = {
        "nothing_to_say": "the sample has no caption, no object and no transcript",
        "no_image": "`send_image` is set, but the sample has no image",
        **CHAT_REASONS,
        **REPLY_REASONS,
        **VETTING_REASONS,
    }

    def __init__(self, config: ConverseConfig) -> None:
        super().__init__(config)
        self._vetting = Vetting(config.check, config.on_unsupported, sees_image=config.chat.send_image)
        if config.chat.send_image:
            self.consumes = type(self).consumes.append(IMAGE)
        if config.chat.engine == "openai":
            # One part's last replies are awaited while another's first requests are in flight.
            self.parts_at_once = 4 + 2 * config.chat.concurrency // (config.batch_rows * len(config.kinds))
        if config.chat.engine == "openai_batch":
            self.parts_at_once = BATCHES_AT_ONCE

    def model_files(self) -> Sequence[str]:
        """Return the prompts' files, the check's and, where the model is run here, the model."""
        chat = self.config.chat
        files = [*(str(prompt_file(kind)) for kind in self.config.kinds), *self._vetting.files()]
        return [chat.model, *files] if chat.engine == "transformers" else files

    def estimate(self, rows: int, sample: pa.Table) -> Mapping[str, float]:
        """Return calls, tokens and dollars, from the prompts of a sample: one call a kind and row."""
        # Another stage may fetch the images: that there will be one is what counts here.
        seen = [{**row, "image_bytes": row.get("image_bytes") or b"image"} for row in sample.to_pylist()]
        requests = [job.request for job in self._jobs(seen)]
        if not requests:
            return {}
        typical = sum(TYPICAL_TOKENS[kind] for kind in self.config.kinds) / len(self.config.kinds)
        return estimated_cost(self.config.chat, requests, rows / sample.num_rows, self.folder, typical)

    def open(self) -> None:
        """Open the chat model, the log of its replies, and the check."""
        self._vetting.warm_up()
        self._chat = open_logged_chat(self.config.chat, self.folder, self.config.actors[1])

    def close(self) -> None:
        """Close the chat model and the log."""
        self._chat.close()

    def process(self, batch: pa.Table) -> pa.Table:
        """Return ``conversations``, one a kind whose reply was usable; a row with none is rejected."""
        rows = batch.to_pylist()
        jobs = self._jobs(rows)
        outcomes: list[dict[Kind, dict[str, Any] | Reject]] = [{} for _ in rows]
        for job, outcome in zip(jobs, self._write(jobs), strict=True):
            outcomes[job.row][job.kind] = outcome
        finished = [
            self._unusable(row) or self._gathered(outcome) for row, outcome in zip(rows, outcomes, strict=True)
        ]
        return rows_to_table(finished, self.produces)

    def _unusable(self, row: Mapping[str, Any]) -> Reject | None:
        """Return why nothing can be asked about a row, if so."""
        if self.config.chat.send_image:
            return None if row["image_bytes"] else Reject("no_image")
        texts = [*(row["captions"] or []), row["transcript"]]
        return None if row["boxes"] or any(one_line(text or "") for text in texts) else Reject("nothing_to_say")

    @cached_property
    def _system(self) -> dict[Kind, str]:
        return {kind: system_prompt(kind) for kind in self.config.kinds}

    def _jobs(self, rows: Sequence[dict[str, Any]]) -> list[_Job]:
        """Return the jobs kind by kind: a local model answers in batches, and replies of a kind are about as long."""
        usable = [(at, row) for at, row in enumerate(rows) if self._unusable(row) is None]
        return [self._job(at, row, kind) for kind in dict.fromkeys(self.config.kinds) for at, row in usable]

    def _job(self, index: int, row: dict[str, Any], kind: Kind) -> _Job:
        asked = user_message(row["captions"] or [], row["boxes"], row["transcript"], kind)
        messages = (
            Message(role="system", content=self._system[kind]),
            Message(role="user", content=asked),
        )
        image = row["image_bytes"] if self.config.chat.send_image else None
        request = ChatRequest(messages, REPLIES[kind].model_json_schema(), kind, image)
        known = Context(captions=row["captions"] or [], boxes=row["boxes"], transcript=row["transcript"])
        return _Job(index, kind, drawn(DETAIL, self.seed, row["id"]), request, known)

    def _write(self, jobs: Sequence[_Job]) -> list[dict[str, Any] | Reject]:
        """Return each job's conversation, or why there is none."""
        doubted: set[int] = set()

        def read(position: int, reply: ChatReply) -> dict[str, Any]:
            job = jobs[position]
            written = self._conversation(job, read_reply(job.kind, reply).messages(job.instruction))
            try:
                return self._vetting.vet(written, job.context, self.counts)
            except Reject:
                doubted.add(position)
                raise

        requests = [job.request for job in jobs]
        times = {"bad_reply": self.config.chat.corrections, UNSUPPORTED: self._vetting.repairs}
        outcomes = ask_until_usable(self._chat, requests, read, self.counts, times)
        self.counts["repaired"] += sum(not isinstance(outcomes[position], Reject) for position in doubted)
        return [_named(job.kind, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]

    def _conversation(self, job: _Job, messages: list[Message]) -> dict[str, Any]:
        model = self.config.chat.model
        shown = Path(model).name if Path(model).is_absolute() else model
        return {"kind": job.kind, "messages": messages, "provenance": f"{shown}:{job.kind}:prompt-v{VERSION}"}

    def _gathered(self, outcomes: Mapping[Kind, dict[str, Any] | Reject]) -> dict[str, Any] | Reject:
        """Return what the row keeps: the conversations there are, or the last reason and every detail why not.

        A request that was never answered rejects the row, so that `retry` completes it; what was answered is logged
        and costs nothing then.
        """
        failed = {kind: outcome for kind, outcome in outcomes.items() if isinstance(outcome, Reject)}
        if unanswered := [reject for reject in failed.values() if reject.reason in UNANSWERED]:
            return unanswered[0]
        written = [outcome for outcome in outcomes.values() if not isinstance(outcome, Reject)]
        if not written:
            rejects = list(failed.values())
            return Reject(rejects[-1].reason, " | ".join(reject.detail for reject in rejects))
        self.counts.update(f"rejected_{reject.reason}" for reject in failed.values())
        told = [{"kind": kind, "reason": each.reason, "detail": each.detail} for kind, each in failed.items()]
        return {"conversations": written, "rejected_conversations": told}


def _named(kind: Kind, outcome: dict[str, Any] | Reject) -> dict[str, Any] | Reject:
    """Return a reject with its kind in the detail, as the chat model's have none."""
    if isinstance(outcome, Reject) and not outcome.detail.startswith(kind):
        return Reject(outcome.reason, f"{kind}: {outcome.detail}")
    return outcome
