"""What stages share that have an LLM write about samples: asking, reading, checking, and asking once more."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.config import StageConfig, shown_model
from schemas.errors import Reject
from stages.base import Stage, rows_to_table
from stages.checks import CheckConfig, Context
from stages.models.asking import Chat, ask_until_usable
from stages.models.chat import REASONS as CHAT_REASONS
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message
from stages.models.cost import estimated_cost
from stages.models.logged_chat import open_logged_chat
from stages.prompts import PromptFile, prompt_file, read_prompt
from stages.replies import REASONS as REPLY_REASONS
from stages.replies import REPLIES, Kind, read_reply
from stages.vetting import REASONS as VETTING_REASONS
from stages.vetting import UNSUPPORTED, OnUnsupported, Vetting
from stages.wordings import DETAIL, drawn

__all__ = ["Outcomes", "Written", "WrittenConfig"]

IMAGE = pa.field("image_bytes", pa.large_binary())

BATCHES_AT_ONCE = 32
"""Batches take hours, however many there are."""

TYPICAL_TOKENS: dict[Kind, int] = {"conversation": 350, "detail": 200, "reasoning": 250, "caption": 300}
"""How long replies are about, to estimate costs before there is any."""


class WrittenConfig(StageConfig):
    """Settings of every stage that has an LLM write."""

    chat: ChatConfig
    """The model that writes them."""
    prompts: dict[Kind, PromptFile] = {}
    """Your own prompt files by kind; by default those of ``stages/prompts``. Their content is in the fingerprint."""
    check: CheckConfig = CheckConfig()
    """What each text is checked for before it is kept; ``types: []`` checks nothing."""
    on_unsupported: OnUnsupported = "repair"
    """What becomes of a text with findings. ``repair``: the model is told them and asked once more; if there are
    findings still, it is rejected. ``reject``: at once. ``keep``: it is kept, with its findings beside it."""
    batch_rows: int = Field(64, ge=1)
    """Rows asked about together. Not a speed setting here: a local model's numbers can depend on its batch."""

    def asked_kinds(self) -> list[Kind]:
        """Return what is written about each sample; each kind is one call."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _prompts_are_of_kinds(self) -> WrittenConfig:
        if unused := [kind for kind in self.prompts if kind not in self.asked_kinds()]:
            raise ValueError(f"prompts.{unused[0]}: no {unused[0]} is written; kinds: {', '.join(self.asked_kinds())}")
        return self


ConfigT = TypeVar("ConfigT", bound=WrittenConfig)

Outcomes = Mapping[Kind, dict[str, Any] | Reject]
"""What was written about a sample, kind by kind: a conversation, or why there is none."""


@dataclass(frozen=True)
class _Job:
    """One kind of conversation about one row."""

    row: int
    kind: Kind
    style: str | None
    instruction: str
    request: ChatRequest
    context: Context


class Written(Stage[ConfigT]):
    """Asks an LLM about each row, checks what it writes, and asks once more where that is not usable."""

    reasons: ClassVar[Mapping[str, str]] = {
        "no_image": "`send_image` is set, but the sample has no image",
        **CHAT_REASONS,
        **REPLY_REASONS,
        **VETTING_REASONS,
    }

    def __init__(self, config: ConfigT) -> None:
        super().__init__(config)
        chat, kinds = config.chat, config.asked_kinds()
        # Read here, so that they travel with the stage to machines that do not have the files.
        self._prompts = {kind: read_prompt(self._prompt_file(kind)) for kind in kinds}
        self._vetting = Vetting(config.check, config.on_unsupported, sees_image=chat.send_image)
        if chat.send_image:
            self.consumes = type(self).consumes.append(IMAGE)
        if chat.engine == "openai":
            # One part's last replies are awaited while another's first requests are in flight.
            self.parts_at_once = 4 + 2 * chat.concurrency // (config.batch_rows * len(kinds))
        if chat.engine == "openai_batch":
            self.parts_at_once = BATCHES_AT_ONCE

    @abstractmethod
    def said_nothing(self, row: Mapping[str, Any]) -> dict[str, Any] | Reject | None:
        """Return the outcome of a row of which nothing is known to write about; None where something is."""

    @abstractmethod
    def question(self, row: Mapping[str, Any], kind: Kind) -> str:
        """Return the user message that asks for a kind of text about a row."""

    @abstractmethod
    def known(self, row: Mapping[str, Any]) -> Context:
        """Return what a text about a row is checked against."""

    @abstractmethod
    def gathered(self, outcomes: Outcomes) -> dict[str, Any] | Reject:
        """Return what a row keeps. None of its outcomes is a request that was never answered."""

    def model_files(self) -> Sequence[str]:
        """Return the prompts' files, the check's and, where the model is run here, the model."""
        chat = self.config.chat
        files = [*(self._prompt_file(kind) for kind in self.config.asked_kinds()), *self._vetting.files()]
        return [chat.model, *files] if chat.engine == "transformers" else files

    def estimate(self, rows: int, sample: pa.Table) -> Mapping[str, float]:
        """Return calls, tokens and dollars, from the prompts of a sample: one call a kind and row."""
        # Another stage may fetch the images: that there will be one is what counts here.
        seen = [{**row, "image_bytes": row.get("image_bytes") or b"image"} for row in sample.to_pylist()]
        requests = [job.request for job in self._jobs(seen)]
        if not requests:
            return {}
        kinds = self.config.asked_kinds()
        typical = sum(TYPICAL_TOKENS[kind] for kind in kinds) / len(kinds)
        return estimated_cost(self.config.chat, requests, rows / sample.num_rows, self.folder, typical)

    def open(self) -> None:
        """Open the chat model, the log of its replies, and the check."""
        self.open_with(open_logged_chat(self.config.chat, self.folder, self.config.actors[1]))

    def open_with(self, chat: Chat) -> None:
        """Open the check, and ask ``chat`` instead of the model of the settings."""
        self._vetting.warm_up()
        self._chat = chat

    def close(self) -> None:
        """Close the chat model and the log."""
        self._chat.close()

    def process(self, batch: pa.Table) -> pa.Table:
        """Return what was written; a row that was asked about and keeps nothing is rejected."""
        rows = batch.to_pylist()
        jobs = self._jobs(rows)
        outcomes: list[dict[Kind, dict[str, Any] | Reject]] = [{} for _ in rows]
        for job, outcome in zip(jobs, self._write(jobs), strict=True):
            outcomes[job.row][job.kind] = outcome
        finished = [
            self._not_asked(row) or _unanswered(each) or self.gathered(each)
            for row, each in zip(rows, outcomes, strict=True)
        ]
        return rows_to_table(finished, self.produces)

    def _not_asked(self, row: Mapping[str, Any]) -> dict[str, Any] | Reject | None:
        """Return the outcome of a row that nothing is asked about."""
        is_blind = self.config.chat.send_image and not row["image_bytes"]
        return self.said_nothing(row) or (Reject("no_image") if is_blind else None)

    def _prompt_file(self, kind: Kind) -> str:
        return self.config.prompts.get(kind) or prompt_file(kind)

    def _jobs(self, rows: Sequence[dict[str, Any]]) -> list[_Job]:
        """Return the jobs kind by kind: a local model answers in batches, and replies of a kind are about as long."""
        usable = [(at, row) for at, row in enumerate(rows) if self._not_asked(row) is None]
        return [self._job(at, row, kind) for kind in self.config.asked_kinds() for at, row in usable]

    def _job(self, index: int, row: dict[str, Any], kind: Kind) -> _Job:
        prompt = self._prompts[kind]
        style = drawn(list(prompt.styles), self.seed, row["id"], kind, "style") if prompt.styles else None
        messages = (
            Message(role="system", content=prompt.system(style)),
            Message(role="user", content=self.question(row, kind)),
        )
        image = row["image_bytes"] if self.config.chat.send_image else None
        request = ChatRequest(messages, REPLIES[kind].model_json_schema(), kind, image)
        return _Job(index, kind, style, drawn(DETAIL, self.seed, row["id"]), request, self.known(row))

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
        style = [job.style] if job.style else []
        provenance = ":".join([shown_model(model), job.kind, f"prompt-{self._prompts[job.kind].name}", *style])
        return {"kind": job.kind, "messages": messages, "provenance": provenance}


def _unanswered(outcomes: Outcomes) -> Reject | None:
    """Return the reject of a row with a request that was never answered, so that `retry` completes it.

    What was answered is in the log and costs nothing then.
    """
    rejects = (outcome for outcome in outcomes.values() if isinstance(outcome, Reject))
    return next((reject for reject in rejects if reject.reason in ("llm_error", "llm_unreachable")), None)


def _named(kind: Kind, outcome: dict[str, Any] | Reject) -> dict[str, Any] | Reject:
    """Return a reject with its kind in the detail, as the chat model's have none."""
    if isinstance(outcome, Reject) and not outcome.detail.startswith(kind):
        return Reject(outcome.reason, f"{kind}: {outcome.detail}")
    return outcome
