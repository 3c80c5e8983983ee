"""A chat model behind OpenAI's Batch API: half the price, an answer within a day."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import openai
from openai.types import Batch

from schemas.errors import FatalError, Paused, Reject
from schemas.storage import Storage
from stages.models.batch_records import BatchRecord, BatchRecords
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Gate
from stages.models.chat_client import sync_client
from stages.models.chat_wire import (
    FORMAT_STATUSES,
    Failure,
    failure_of,
    identity,
    message_fields,
    one_line,
    read_completion,
    refusal_of,
)
from stages.models.request_key import request_key
from stages.models.structured import Dialect

__all__ = ["OpenAIBatch"]

ENDPOINT = "/v1/chat/completions"

MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
"""Of one file of requests; OpenAI takes 200 MB."""

ENDED = {"completed", "failed", "expired", "cancelled"}

MOST_SILENCE = 60
"""Looks in a row that the server may not answer."""

MARK = "showtell"
"""Metadata of our batches: the name of their record."""

Asked = dict[str, tuple[int, ChatRequest]]
"""Key of a request -> its position and itself."""


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

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
        """Yield each reply when its batch is there; see ``ChatModel``."""
        asked: Asked = {
            request_key(self.identity, [request], 0): (position, request) for position, request in enumerate(requests)
        }
        failures = 0
        while asked:
            batches = [record for record in self._records.all() if not asked.keys().isdisjoint(record.keys)]
            again: dict[str, Failure] = {}
            for record in batches or self._submit(asked):
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

    def _submit(self, asked: Asked) -> Iterator[BatchRecord]:
        """Send what there is money for, as few batches as the server allows, and yield them when all are out."""
        batches, keys, lines, worst = [], list[str](), list[bytes](), 0.0
        for key, (_, request) in self._affordable(asked):
            line = self._line(key, request)
            if keys and (len(keys) == MOST_REQUESTS or sum(map(len, lines)) + len(line) > MOST_BYTES):
                batches.append(self._start(keys, lines, worst))
                keys, lines, worst = [], [], 0.0
            keys.append(key)
            lines.append(line)
            worst += self._gate.worst(request) if self._gate else 0.0
        yield from [*batches, self._start(keys, lines, worst)]

    def _affordable(self, asked: Asked) -> Iterator[tuple[str, tuple[int, ChatRequest]]]:
        """Yield the requests that money could be reserved for; raises Paused where that is none."""
        if self._gate is None:
            yield from asked.items()
            return
        self._gate.outside = sum(r.usd for r in self._records.all() if not r.done and r.name not in self._ours)
        for count, (key, (position, request)) in enumerate(asked.items()):
            if not self._gate.take(self._gate.worst(request)):
                if count == 0:
                    raise self._gate.exhausted()
                return
            yield key, (position, request)

    def _line(self, key: str, request: ChatRequest) -> bytes:
        varied = self._dialect.fields(request, self._config.max_tokens)
        body = {**message_fields(self._config, request), **varied}
        return json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}).encode() + b"\n"

    def _start(self, keys: Sequence[str], lines: Sequence[bytes], worst: float) -> BatchRecord:
        """Upload requests and make a batch of them."""
        try:
            file = self._client.files.create(file=("requests.jsonl", b"".join(lines)), purpose="batch")
        except openai.OpenAIError as error:
            raise FatalError(f"{self._server} takes no file of requests: {one_line(error)}") from error
        record = self._records.add(file.id, keys, worst)
        self._ours.add(record.name)
        return self._made(record, is_new=True)

    def _made(self, record: BatchRecord, is_new: bool = False) -> BatchRecord:
        """Return the record with the batch's id; the batch is made unless the server has it already."""
        try:
            found = None if is_new else self._find(record)
            # Not sent again blindly: the answer may be what was lost, and a second batch would cost as much again.
            batch = found or self._client.with_options(max_retries=0).batches.create(
                input_file_id=record.file, endpoint=ENDPOINT, completion_window="24h", metadata={MARK: record.name}
            )
        except openai.OpenAIError as error:
            if is_new and (isinstance(error, openai.APIConnectionError) or _status(error) >= 500):
                time.sleep(self._config.poll_s)
                return self._made(record)
            raise FatalError(f"{self._server} makes no batch: {one_line(error)}") from error
        return self._records.write(replace(record, batch=batch.id))

    def _find(self, record: BatchRecord) -> Batch | None:
        """Look for a batch that was made, but whose id was never written down."""
        for batch in self._client.batches.list(limit=100):
            if batch.input_file_id == record.file or (batch.metadata or {}).get(MARK) == record.name:
                return batch
        return None

    def _outcomes(self, record: BatchRecord, asked: Asked) -> Iterator[tuple[str, ChatReply | Reject | Failure]]:
        """Wait for a batch and yield the outcomes of those of its requests that are asked now."""
        wanted = {key: asked[key][1] for key in record.keys if key in asked}
        found: dict[str, ChatReply | Reject | Failure] = {}
        batch = self._ended(record if record.batch else self._made(record))
        for line in self._lines(batch) if batch else ():
            found[line["custom_id"]] = self._outcome(line, wanted.get(line["custom_id"]))
        replies = {key: outcome for key, outcome in found.items() if isinstance(outcome, ChatReply)}
        is_first = self._gate is not None and not record.done
        self._records.finish(record, replies)
        for key, request in wanted.items():
            if self._gate is not None and record.name in self._ours and is_first:
                self._gate.release(self._gate.worst(request))
            if self._gate is not None and key in replies:
                self._gate.book(replies[key])
            status = batch.status if batch else "gone"
            yield key, found.get(key) or Failure(Reject("llm_error", f"not in its batch, which is {status}"), True)
