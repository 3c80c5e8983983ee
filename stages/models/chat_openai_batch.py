"""A chat model behind OpenAI's Batch API: half the price, an answer within a day."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import openai
from openai.types import Batch
from pydantic import BaseModel

from schemas.errors import FatalError, Paused, Reject
from schemas.storage import Storage
from stages.models.batch_records import BatchRecord, BatchRecords
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Gate
from stages.models.chat_client import sync_client
from stages.models.chat_wire import (
    FORMAT_STATUSES,
    Failure,
    failure_of,
    message_fields,
    one_line,
    read_completion,
    refusal_of,
)
from stages.models.identity import identity
from stages.models.logged_chat import request_key
from stages.models.pacing import backoff_s
from stages.models.structured import Dialect

__all__ = ["OpenAIBatch"]

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"

MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
"""Of one file of requests; OpenAI takes 200 MB."""

ENDED = {"completed", "failed", "expired", "cancelled"}

FULL = {"token_limit_exceeded", "billing_hard_limit_reached", "insufficient_quota"}
"""Why a batch may fail that would pass another day."""

OK = 200

MOST_SILENCE = 60
"""Looks in a row that the server may not answer."""

MARK = "showtell"
"""Metadata of our batches: the name of their record."""

Asked = dict[str, tuple[int, ChatRequest]]
"""Key of a request -> its position and itself."""


class _Response(BaseModel):
    status_code: int
    body: dict[str, Any] = {}


class _Line(BaseModel):
    """One line of a file of replies or errors."""

    custom_id: str
    response: _Response | None = None
    error: dict[str, Any] | None = None


class OpenAIBatch:
    """Uploads requests, waits, and fetches the replies.

    A batch is written down before it is made, and its id as soon as it is known. A request that a batch on record
    holds is never sent again: its reply is waited for, or fetched a second time.

    Args:
        config: the settings.
        folder: of the stage's replies.
        gate: lets requests pass that there is money for.
    """

    together = 1

    def __init__(self, config: ChatConfig, folder: Storage, gate: Gate | None = None) -> None:
        self.identity = identity(config)
        self._config = config
        self._gate = gate
        self._client = sync_client(config)
        self._server = str(self._client.base_url)
        self._records = BatchRecords(folder.folder("batches"))
        self._dialect = Dialect()
        self._ours: set[str] = set()
        self._reserved: dict[str, float] = {}

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
        """Yield each reply when its batch is there; see ``ChatModel``."""
        asked: Asked = {
            request_key(self.identity, [request], 0): (position, request) for position, request in enumerate(requests)
        }
        failures = 0
        while asked:
            on_record = [record for record in self._records.all() if not asked.keys().isdisjoint(record.keys)]
            again: dict[str, Failure] = {}
            for record in on_record or self._submit(asked):
                for key, outcome in self._outcomes(record, asked):
                    if isinstance(outcome, Failure) and outcome.again:
                        again[key] = outcome
                    else:
                        yield asked.pop(key)[0], outcome.reject if isinstance(outcome, Failure) else outcome
            failures += any(failure.counts for failure in again.values())
            if failures > self._config.retries:
                yield from ((asked.pop(key)[0], failure.reject) for key, failure in again.items())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _submit(self, asked: Asked) -> list[BatchRecord]:
        """Send what there is money for, in as few batches as the server allows."""
        started: list[BatchRecord] = []
        lines: dict[str, bytes] = {}
        size = 0
        for key in self._affordable(asked):
            line = self._line(key, asked[key][1])
            if len(lines) == MOST_REQUESTS or (lines and size + len(line) > MOST_BYTES):
                started.append(self._start(lines))
                lines, size = {}, 0
            lines[key] = line
            size += len(line)
        return [*started, self._start(lines)]

    def _affordable(self, asked: Asked) -> list[str]:
        """Return the requests that money could be reserved for; raises Paused where there is none for any."""
        if self._gate is None:
            return list(asked)
        others = (record for record in self._records.all() if record.name not in self._ours)
        self._gate.outside = sum(record.usd for record in others if not record.done)
        keys: list[str] = []
        for key, (_, request) in asked.items():
            worst = self._gate.worst(request)
            if not self._gate.take(worst):
                break
            self._reserved[key] = worst
            keys.append(key)
        if not keys:
            raise self._gate.exhausted()
        return keys

    def _line(self, key: str, request: ChatRequest) -> bytes:
        varied = self._dialect.fields(request, self._config.max_tokens)
        body = {**message_fields(self._config, request), **varied}
        return json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}).encode() + b"\n"

    def _start(self, lines: Mapping[str, bytes]) -> BatchRecord:
        """Upload requests and make a batch of them."""
        try:
            file = self._client.files.create(file=("requests.jsonl", b"".join(lines.values())), purpose="batch")
        except openai.OpenAIError as error:
            raise FatalError(f"{self._server} takes no file of requests: {one_line(error)}") from error
        record = self._records.add(file.id, list(lines), sum(self._reserved.get(key, 0.0) for key in lines))
        self._ours.add(record.name)
        return self._made(record, is_new=True)

    def _made(self, record: BatchRecord, is_new: bool = False) -> BatchRecord:
        """Return the record with the batch's id; the batch is made unless the server has it already."""
        for attempt in range(self._config.retries + 1):
            try:
                # Never sent again blindly: the lost answer may have been a yes, and a second batch costs as much again.
                batch = None if is_new and attempt == 0 else self._find(record)
                batch = batch or self._client.with_options(max_retries=0).batches.create(
                    input_file_id=record.file, endpoint=ENDPOINT, completion_window="24h",
                    metadata={MARK: record.name},
                )
                return self._records.write(replace(record, batch=batch.id))
            except openai.OpenAIError as error:
                last = failure_of(error, self._config, self._server)
                if not last.again:
                    break
            time.sleep(backoff_s(attempt))
        raise FatalError(f"{self._server} makes no batch: {last.reject.detail}")

    def _find(self, record: BatchRecord) -> Batch | None:
        """Look for a batch that was made, but whose id was never written down."""
        for batch in self._client.batches.list(limit=100):
            if batch.input_file_id == record.file or (batch.metadata or {}).get(MARK) == record.name:
                return batch
        return None

    def _outcomes(self, record: BatchRecord, asked: Asked) -> Iterator[tuple[str, ChatReply | Failure]]:
        """Wait for a batch and yield the outcomes of those of its requests that are asked now."""
        batch = self._ended(record if record.batch else self._made(record))
        if batch and batch.status == "failed":
            self._records.finish(record, [])
            raise self._refused(batch)
        found = self._read(batch, next(request for _, request in asked.values())) if batch else {}
        self._records.finish(record, [key for key, outcome in found.items() if isinstance(outcome, ChatReply)])
        status = batch.status if batch else "not known any more"
        missing = Failure(Reject("llm_error", f"no answer from its batch, which is {status}"), again=True)
        for key in [key for key in record.keys if key in asked]:
            outcome = found.get(key, missing)
            if self._gate is not None:
                if isinstance(outcome, ChatReply):
                    self._gate.book(outcome)
                if key in self._reserved:
                    self._gate.release(self._reserved.pop(key))
            yield key, outcome

    def _ended(self, record: BatchRecord) -> Batch | None:
        """Wait until a batch has ended; None where the server does not know it any more."""
        silence = 0
        while True:
            try:
                batch = self._client.batches.retrieve(record.batch)
            except openai.NotFoundError:
                return None
            except openai.OpenAIError as error:
                silence += 1
                if silence == MOST_SILENCE:
                    said = f"{self._server} tells nothing of batch {record.batch}: {one_line(error)}"
                    raise FatalError(said) from error
            else:
                silence = 0
                if batch.status in ENDED:
                    return batch
            time.sleep(self._config.poll_s)

    def _read(self, batch: Batch, request: ChatRequest) -> dict[str, ChatReply | Failure]:
        """Fetch what a batch has brought, by key."""
        sent = self._dialect.fields(request, self._config.max_tokens)
        found: dict[str, ChatReply | Failure] = {}
        for file in filter(None, (batch.error_file_id, batch.output_file_id)):
            try:
                content = self._client.files.content(file).text
            except openai.NotFoundError:  # the server keeps files for some weeks only
                continue
            except openai.OpenAIError as error:
                raise FatalError(f"{self._server} does not give file {file}: {one_line(error)}") from error
            for text in content.splitlines():
                line = _Line.model_validate_json(text)
                found[line.custom_id] = self._outcome(line, sent)
        return found

    def _outcome(self, line: _Line, sent: dict[str, Any]) -> ChatReply | Failure:
        if line.response is None:
            return Failure(Reject("llm_error", f"no answer: {line.error}"), again=True)
        if line.response.status_code == OK:
            reply = read_completion(json.dumps(line.response.body))
            return reply if isinstance(reply, ChatReply) else Failure(reply)
        error = line.response.body.get("error") or {}
        said = " ".join(str(error.get("message") or line.response.body).split())[:300]
        if line.response.status_code in FORMAT_STATUSES and self._dialect.simpler(sent, said):
            return Failure(Reject("llm_error", said), again=True, counts=False)
        failure = refusal_of(line.response.status_code, error.get("code"), said, self._config, self._server)
        return replace(failure, counts=True)

    def _refused(self, batch: Batch) -> FatalError | Paused:
        """Return why the server did not even begin a batch."""
        errors = (batch.errors and batch.errors.data) or []
        said = "; ".join(dict.fromkeys(str(error.message) for error in errors))[:300] or "it does not say why"
        if any(error.code in FULL for error in errors):
            return Paused(f"{self._server} takes no other batch now: {said}; run again later")
        return FatalError(f"{self._server} refuses batch {batch.id}: {said}")
