"""The Batch API of a chat server for tests: files, and batches that are really worked off."""

from __future__ import annotations

import email
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

__all__ = ["Answer", "BatchApi"]


@dataclass
class Answer:
    """One HTTP answer; a dict is sent as JSON."""

    status: int = 200
    body: dict[str, Any] | str = ""
    headers: dict[str, str] = field(default_factory=dict)


class BatchApi:
    """Files and batches.

    Attributes:
        faults: answers that are given first, by path (``content`` for that of any file), instead of doing anything;
            ``lost`` makes a batch, but answers with a 500.
        may_run: batches are worked off while this is set.
        expires_after: requests of a batch that are answered before it expires; None answers all.
        fails: errors that end the next batches at once.
        made: every batch, in order.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Answer]) -> None:
        self.answer = answer
        self.faults: dict[str, deque[Answer | str]] = {}
        self.may_run = threading.Event()
        self.may_run.set()
        self.expires_after: int | None = None
        self.fails: deque[dict[str, str]] = deque()
        self.files: dict[str, str] = {}
        self.made: list[dict[str, Any]] = []
        self.looks = 0

    def post(self, path: str, data: bytes, content_type: str) -> Answer:
        """Take a file, or make a batch."""
        fault = self.faults[path].popleft() if self.faults.get(path) else None
        if isinstance(fault, Answer):
            return fault
        if path == "/v1/files":
            name = self._keep(_uploaded(data, content_type))
            told = {"object": "file", "bytes": len(data), "created_at": 1, "purpose": "batch", "status": "processed"}
            return Answer(body={"id": name, "filename": "requests.jsonl", **told})
        batch = self._make(json.loads(data))
        return Answer(500, "the answer was lost") if fault == "lost" else Answer(body=dict(batch))

    def get(self, path: str) -> Answer:
        """Give a file's content, a batch, or all batches."""
        path = path.partition("?")[0]
        faults = self.faults.get("content" if path.endswith("/content") else path)
        if faults:
            fault = faults.popleft()
            assert isinstance(fault, Answer)
            return fault
        name = path.removesuffix("/content").rpartition("/")[2]
        if path == "/v1/batches":
            return Answer(body={"object": "list", "data": [dict(batch) for batch in self.made], "has_more": False})
        if path.startswith("/v1/batches/"):
            self.looks += 1
            found = [batch for batch in self.made if batch["id"] == name]
            return Answer(body=dict(found[0])) if found else Answer(404, {"error": {"message": "no such batch"}})
        return Answer(body=self.files[name]) if name in self.files else Answer(404, {"error": {"message": "no file"}})

    def _keep(self, content: str) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def _make(self, wanted: dict[str, Any]) -> dict[str, Any]:
        batch = {
            "id": f"batch-{len(self.made)}", "object": "batch", "created_at": 1, "status": "validating", **wanted,
            "output_file_id": None, "error_file_id": None, "errors": None,
        }
        self.made.append(batch)
        if self.fails:
            batch |= {"status": "failed", "errors": {"object": "list", "data": [self.fails.popleft()]}}
        else:
            threading.Thread(target=self._work, args=(batch,), daemon=True).start()
        return batch

    def _work(self, batch: dict[str, Any]) -> None:
        batch["status"] = "in_progress"
        self.may_run.wait()
        requests = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        replies, errors = [], []
        for number, request in enumerate(requests):
            named = {"id": f"{batch['id']}-{number}", "custom_id": request["custom_id"]}
            if self.expires_after is not None and number >= self.expires_after:
                error = {"code": "batch_expired", "message": "This request could not be executed in time."}
                errors.append({**named, "response": None, "error": error})
                continue
            answer = self.answer(request["body"])
            response = {"status_code": answer.status, "request_id": "r", "body": answer.body}
            (replies if answer.status == 200 else errors).append({**named, "response": response, "error": None})
        for key, lines in (("output_file_id", replies[::-1]), ("error_file_id", errors)):
            batch[key] = self._keep("".join(json.dumps(line) + "\n" for line in lines)) if lines else None
        batch["status"] = "completed" if self.expires_after is None else "expired"


def _uploaded(data: bytes, content_type: str) -> str:
    """Return the file of a multipart form."""
    form = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + data)
    parts = [part for part in form.walk() if isinstance(part, Message) and part.get_filename()]
    content = parts[0].get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()
