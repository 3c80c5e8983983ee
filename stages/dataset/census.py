"""What is in a dataset, counted while it is written, in memory that does not grow with it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from stages.checks.language import language_of
from stages.checks.words import COLOURS
from stages.dataset.capped import CappedCounter
from stages.dataset.people import GenderCounts, letters

__all__ = ["EXAMPLES", "OPENING_WORDS", "OTHER_KINDS", "Census"]

EXAMPLES = 4
"""Example samples shown on the card."""
OPENING_WORDS = 3
MOST_KINDS = 1000
OTHER_KINDS = "other kinds"
LONGEST_TEXT = 300
"""Characters that a conversation's language is told by, and a question's opening."""
ADDED = ("samples", "rows", "turn_counts", "answer_lengths", "languages", "colours", "countries", "findings")
CAPPED = ("provenance", "openings", "licenses", "hosts", "labels")
BY_KIND = ("kinds", "turns", "answer_words")
MOST_WORDS = 1000
"""Answers with more words are counted as if they had so many."""
WRITING = re.compile(
    r"\b(?:text|letters|lettering|written|writing|inscription|signs?|logos?|slogan|banner|poster|placard|label(?:led|s)?|"
    r"watermark|reads|spells)\b", re.IGNORECASE
)
"""Words by which a text tells of writing in a picture."""


class Census:
    """Counts over the dataset's samples and rows.

    Attributes:
        samples, rows: samples and conversations of each split.
        kinds: conversations by kind; after the first 1000 kinds the others are counted together.
        turns: question-answer pairs by kind.
        turn_counts: conversations by their number of turns.
        answer_words: words of all answers by kind.
        answer_lengths: answers by their number of words.
        provenance: conversations by who wrote them.
        languages: conversations by the language they are in (ISO 639), ``uncertain`` where they are too short to tell.
        openings: questions by their first three words.
        colours: names of colours in answers.
        people: gendered words and occupations in answers.
        checked, doubted: conversations that were checked, and those of them with findings.
        findings: findings by type.
        licenses, hosts, labels: samples by licence and host; boxes by label.
        countries: samples by the country code that ends their host's name.
        pictured, captioned, boxed, transcribed: samples with an image, with captions, boxes, a transcript.
        lettered: samples with a caption or an answer that tells of writing in the picture.
        examples: the first samples, one with each new set of kinds, with all their rows.
    """

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()
        self.turn_counts: Counter[int] = Counter()
        self.answer_words: Counter[str] = Counter()
        self.answer_lengths: Counter[int] = Counter()
        self.provenance = CappedCounter()
        self.languages: Counter[str] = Counter()
        self.openings = CappedCounter()
        self.colours: Counter[str] = Counter()
        self.people = GenderCounts()
        self.licenses = CappedCounter()
        self.hosts = CappedCounter()
        self.countries: Counter[str] = Counter()
        self.labels = CappedCounter()
        self.findings: Counter[str] = Counter()
        self.checked = 0
        self.doubted = 0
        self.pictured = self.captioned = self.boxed = self.transcribed = 0
        self.lettered = 0
        self.examples: list[Sequence[Mapping[str, Any]]] = []
        self._shown: defaultdict[frozenset[str], int] = defaultdict(int)

    def count(self, split: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Count one sample's rows; return whether it is now one of the examples."""
        sample = rows[0]
        self.samples[split] += 1
        self.rows[split] += len(rows)
        host = _host(sample["url"])
        self.licenses.add([sample["license"] or "not stated"])
        self.hosts.add([host])
        self.countries.update(re.findall(r"\.([a-z]{2})\.?\Z", host))
        self.labels.add(box["label"] for box in sample["boxes"] or ())
        self.pictured += bool(sample["images"])
        self.captioned += bool(sample["captions"])
        self.boxed += bool(sample["boxes"])
        self.transcribed += sample["transcript"] is not None
        answers = (message["content"] for row in rows for message in row["messages"] if message["role"] == "assistant")
        self.lettered += any(map(WRITING.search, chain(sample["captions"] or (), answers)))
        for row in rows:
            self._count_row(row)
        return self._show(rows)

    def add(self, later: Census) -> None:
        """Add what was counted over the samples that follow."""
        for name in ADDED:
            getattr(self, name).update(getattr(later, name))
        for name in CAPPED:
            getattr(self, name).merge(getattr(later, name))
        for name in BY_KIND:
            for kind, count in getattr(later, name).items():
                getattr(self, name)[self._kind(kind)] += count
        self.people.add(later.people)
        self.checked += later.checked
        self.doubted += later.doubted
        self.pictured += later.pictured
        self.captioned += later.captioned
        self.boxed += later.boxed
        self.transcribed += later.transcribed
        self.lettered += later.lettered
        for rows in later.examples:
            self._show(rows)

    def _show(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        kinds = frozenset(row["kind"] for row in rows)
        if not rows[0]["images"] or len(self.examples) == EXAMPLES or self._shown[kinds] == EXAMPLES // 2:
            return False
        self._shown[kinds] += 1
        self.examples.append(rows)
        return True

    def _kind(self, kind: str) -> str:
        return kind if kind in self.kinds or len(self.kinds) < MOST_KINDS else OTHER_KINDS

    def _count_row(self, row: Mapping[str, Any]) -> None:
        kind = self._kind(row["kind"])
        questions = [message["content"] for message in row["messages"] if message["role"] == "user"]
        answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        lengths = [len(answer.split()) for answer in answers]
        self.kinds[kind] += 1
        self.turns[kind] += len(answers)
        self.turn_counts[len(answers)] += 1
        self.answer_words[kind] += sum(lengths)
        self.answer_lengths.update(min(length, MOST_WORDS) for length in lengths)
        self.provenance.add([row["provenance"]])
        self.languages[language_of(" ".join([*questions, *answers])[:LONGEST_TEXT]) or "uncertain"] += 1
        self.openings.add(opening for question in questions if (opening := _opening(question)))
        for answer in answers:
            found = letters(answer)
            self.colours.update(filter(COLOURS.__contains__, found))
            self.people.count(answer, found)
        self.checked += row["findings"] is not None
        self.doubted += bool(row["findings"])
        self.findings.update(finding["type"] for finding in row["findings"] or ())


def _opening(question: str) -> str:
    return " ".join(question[:LONGEST_TEXT].lower().split()[:OPENING_WORDS])


def _host(url: str | None) -> str:
    if not url:
        return "no URL"
    try:
        return urlsplit(url).hostname or "no host"
    except ValueError:
        return "no host"
