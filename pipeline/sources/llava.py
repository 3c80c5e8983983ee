"""``kind: llava``: LLaVA's training JSON (id, image, conversations) or its contexts (captions, instances)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.sources import table
from pipeline.sources.canonical import BAD_ROW, SourceRow, canonical
from schemas.config import SourceConfig
from schemas.errors import ConfigError, Mistake, Reject

__all__ = ["read"]

ROLES = {"human": "user", "gpt": "assistant"}
IMAGE_TOKEN = "<image>"


def read(files: list[str], config: SourceConfig) -> Iterator[SourceRow]:
    """Yield one sample a record. The image token is taken out: our messages are plain text.

    LLaVA's files hold several conversations under one id: the second is ``id#2``, and so on.
    """
    seen: Counter[str] = Counter()
    for file in files:
        folder = config.images or str(Path(file).parent)
        rows = table.read_json(file, config) if file.endswith(".json") else table.read_jsonl(file, config)
        try:
            for row in rows:
                yield SourceRow({}, row) if isinstance(row, Reject) else _sample(_with_own_id(row, seen), folder)
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(file, [Mistake("source.path", file, f"cannot be read: {error}")]) from error


def _with_own_id(row: Mapping[str, Any], seen: Counter[str]) -> Mapping[str, Any]:
    name = str(row.get("id", ""))
    seen[name] += bool(name)
    return {**row, "id": f"{name}#{seen[name]}"} if seen[name] > 1 else row


def _sample(row: Mapping[str, Any], folder: str) -> SourceRow:
    try:
        renamed = dict(row)
        if "instances" in row:
            renamed["boxes"] = [{"label": one["category"], "box": one["bbox"]} for one in renamed.pop("instances")]
        if "conversations" in row:
            renamed["source_conversations"] = [_conversation(renamed.pop("conversations"))]
    except (KeyError, TypeError, AttributeError) as error:
        return SourceRow({}, Reject(BAD_ROW, f"not a LLaVA record: {error!r}"))
    return canonical(renamed, folder)


def _conversation(turns: list[dict[str, str]]) -> dict[str, Any]:
    messages = [
        {"role": ROLES[turn["from"]], "content": turn["value"].replace(IMAGE_TOKEN, "").strip()} for turn in turns
    ]
    return {"kind": "llava", "messages": messages, "provenance": "source"}
