"""All checks of a conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import Field

from schemas.config import Frozen
from stages.checks.colours import colour_faults
from stages.checks.counts import count_faults
from stages.checks.evidence import Evidence, read_evidence
from stages.checks.finding import FINDING_TYPES, Context, Finding, FindingType, Messages
from stages.checks.form import length_faults, schema_faults
from stages.checks.language import foreign_language
from stages.checks.leaks import leaks
from stages.checks.objects import object_faults
from stages.checks.positions import position_faults
from stages.checks.readings import reading_faults
from stages.checks.statements import Statement, read_statements
from stages.checks.wording import POINTS, mentions
from stages.checks.words import straight

__all__ = ["CheckConfig", "check"]

Fault = tuple[int, int, str]


class CheckConfig(Frozen):
    """Settings of the check."""

    types: list[FindingType] = list(FINDING_TYPES)
    """Types of findings to look for."""
    language: str = "en"
    """ISO 639 code of the language to be written in. The checks of grounding and leaks read English only and are left
    out for any other."""
    min_words: dict[str, int] = {"caption": 12, "detail": 12, "reasoning": 6}
    """Fewest words of an answer, by kind of conversation; 1 for the others."""
    max_words: int = Field(500, ge=1)
    """Most words of a turn."""


GROUNDING: dict[FindingType, Callable[[Statement, Evidence], Iterator[Fault]]] = {
    "object": object_faults, "count": count_faults, "position": position_faults, "colour": colour_faults,
}
"""Checks of a statement, whose faults give words; ``text`` gives characters."""


def check(conversation: Mapping[str, Any], context: Context, config: CheckConfig | None = None) -> list[Finding]:
    """Return what is wrong with a conversation about an image, by turn and place; an empty list where nothing is.

    Args:
        conversation: ``messages``, a list of ``{role, content}``, and ``kind``; other keys are not read.
        context: what is known of the image. Where nothing is known, nothing is checked against it.
        config: which checks run, and their bounds.

    A conversation whose schema is broken is checked no further.
    """
    config = config or CheckConfig()
    messages: Messages = conversation["messages"]
    kind = str(conversation.get("kind") or "")
    if broken := [Finding("schema", *fault) for fault in schema_faults(messages)]:
        return broken if "schema" in config.types else []
    found = [*_wording(messages, kind, config), *_grounding(messages, context, config)]
    kept = {finding: None for finding in found if finding.type in config.types}
    return sorted(kept, key=lambda finding: (finding.turn, finding.start, finding.end, finding.type))


def _wording(messages: Messages, kind: str, config: CheckConfig) -> Iterator[Finding]:
    """Yield what is wrong with a conversation whatever the image shows."""
    for turn, message in enumerate(messages):
        content, role = message["content"], message["role"]
        if role == "system":
            continue
        least = config.min_words.get(kind, 1) if role == "assistant" else 1
        yield from (Finding("length", turn, *fault) for fault in length_faults(content, least, config.max_words))
        yield from (Finding("mention", turn, *fault) for fault in mentions(straight(content), role))
        if "language" in config.types and (language := foreign_language(POINTS.sub(" ", content), config.language)):
            yield Finding("language", turn, 0, len(content), f"it is written in {language!r}")
        if role == "assistant" and kind == "reasoning" and config.language == "en":
            question = messages[turn - 1]["content"]
            yield from (Finding("leak", turn - 1, *fault) for fault in leaks(straight(question), straight(content)))


def _grounding(messages: Messages, context: Context, config: CheckConfig) -> Iterator[Finding]:
    """Yield what the answers say that nothing known of the image supports."""
    if config.language != "en" or not {*GROUNDING, "text"} & {*config.types}:
        return
    evidence = read_evidence(context)
    if not evidence.is_known:
        return
    for turn, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        answer = straight(POINTS.sub(lambda found: f"the {found['name']}".ljust(len(found[0])), message["content"]))
        question = straight(messages[turn - 1]["content"])
        for statement in read_statements(answer, question, evidence.vocabulary):
            yield from _faults(statement, evidence, turn)


def _faults(statement: Statement, evidence: Evidence, turn: int) -> Iterator[Finding]:
    if not statement.sentence.words:
        return
    for kind, faults in GROUNDING.items():
        for begin, end, message in faults(statement, evidence):
            yield Finding(kind, turn, *statement.sentence.span(begin, end), message)
    yield from (Finding("text", turn, *fault) for fault in reading_faults(statement, evidence))
