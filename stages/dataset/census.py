"""What is in a dataset, counted while it is written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

__all__ = ["EXAMPLES", "Census"]

EXAMPLES = 6
"""Example samples shown on the card."""


class Census:
    """Counts over the dataset's samples and rows.

    Attributes:
        samples, rows: samples and conversations of each split.
        kinds: conversations by kind.
        turns: question-answer pairs by kind.
        answer_words: words of all answers by kind.
        provenance: conversations by who wrote them.
        checked, doubted: conversations that were checked, and those of them with findings.
        findings: findings by type.
        licenses, hosts, labels: samples by licence and host; boxes by label.
        transcribed: samples with a transcript.
        examples: the first samples, one with each new set of kinds, with all their rows.
    """

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()
        self.answer_words: Counter[str] = Counter()
        self.provenance: Counter[str] = Counter()
        self.licenses: Counter[str] = Counter()
        self.hosts: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.checked = 0
        self.doubted = 0
        self.transcribed = 0
        self.examples: list[Sequence[Mapping[str, Any]]] = []
        self._shown: defaultdict[frozenset[str], int] = defaultdict(int)

    def count(self, split: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count one sample's rows."""
        sample = rows[0]
        self.samples[split] += 1
        self.rows[split] += len(rows)
        self.licenses[sample["license"] or "not stated"] += 1
        self.hosts[_host(sample["url"])] += 1
        self.labels.update(box["label"] for box in sample["boxes"] or ())
        self.transcribed += sample["transcript"] is not None
        for row in rows:
            self._count_row(row)
        kinds = frozenset(row["kind"] for row in rows)
        if sample["images"] and len(self.examples) < EXAMPLES and self._shown[kinds] < EXAMPLES // 2:
            self._shown[kinds] += 1
            self.examples.append(rows)

    def _count_row(self, row: Mapping[str, Any]) -> None:
        kind = row["kind"]
        answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        self.kinds[kind] += 1
        self.turns[kind] += len(answers)
        self.answer_words[kind] += sum(len(answer.split()) for answer in answers)
        self.provenance[row["provenance"]] += 1
        self.checked += row["findings"] is not None
        self.doubted += bool(row["findings"])
        self.findings.update(finding["type"] for finding in row["findings"] or ())


def _host(url: str | None) -> str:
    if not url:
        return "no URL"
    try:
        return urlsplit(url).hostname or "no host"
    except ValueError:
        return "no host"
