"""Text, times, prices and proper names that an answer reads in an image though no caption or transcript has them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stages.checks.evidence import Evidence
from stages.checks.statements import QUOTATION, Statement
from stages.checks.words import NUMBERS, number, words

__all__ = ["reading_faults"]

READ = re.compile(
    r"\b(?:reads?|reading|says?|saying|spells?|writ\w+|words?|letters?|lettering|labell?ed|label|printed|prints?|text|"
    r"inscri\w+|names?d?|titled?|logo|slogan|marked|displays?|shows?|bears?|signs?|banner|number|plate)\b"
)
UNQUOTED = re.compile(
    r"\b(?:reads?|says?|spells|reading|saying|labell?ed|marked|shows|displays) "
    r"(?P<text>[$€£]?\d[\d.,:]*|[A-Z][\w&'.-]*(?: (?:[A-Z][\w&'.-]*|of|and|the))*)"
)
PROPER = re.compile(r"(?<![.!?\"] )(?<!^)\b[A-Z][\w'-]+(?: (?:of |and |the |& )?[A-Z][\w'-]+)+")
PRICE = re.compile(r"[$€£] ?\d[\d.,]*|\b\d[\d.,]* (?:dollars|euros|pounds|cents)\b")

CLOCK = re.compile(r"\b(?P<hour>\d{1,2}):(?P<minute>\d{2})\b")
SPOKEN = re.compile(
    r"\b(?P<part>quarter|half|twenty-five|twenty five|twenty|ten|five|\d{1,2})(?: minutes)? "
    r"(?P<side>past|to|after|before) (?P<hour>\w+)\b"
)
SHARP = re.compile(r"\b(?P<hour>\w+) o[']clock\b")
PARTS = {"quarter": 15, "half": 30, "twenty-five": 25, "twenty five": 25}
HALF_DAY = 720


def reading_faults(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield the characters and a message for each reading that no text supports."""
    sentence, standings = statement.sentence, statement.standings
    if standings and all(standing == "open" for standing in standings):
        return
    offset = sentence.words[0].start - (len(sentence.text) - len(sentence.text.lstrip())) if sentence.words else 0
    for start, end in _readings(sentence.text):
        text = sentence.text[start:end]
        if not _is_told(text, evidence) and not _counts_coins(text, evidence):
            yield offset + start, offset + end, f"no caption or transcript has {text.strip()!r}"
    told = set(_times(evidence.text))
    for time, start, end in _timed(sentence.text):
        if time not in told:
            yield offset + start, offset + end, "no caption or transcript tells this time"


def _readings(text: str) -> list[tuple[int, int]]:
    spans = [found.span(1) for found in QUOTATION.finditer(text) if READ.search(text.lower())]
    spans += [found.span("text") for found in UNQUOTED.finditer(text) if not CLOCK.match(found["text"])]
    spans += [found.span() for found in PRICE.finditer(text)]
    spans += [found.span() for found in PROPER.finditer(text)]
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def _is_told(text: str, evidence: Evidence) -> bool:
    said = [word.text for word in words(text) if not word.is_sign]
    told = f" {' '.join(word.text for word in words(evidence.text) if not word.is_sign)} "
    return f" {' '.join(said)} " in told or (len(said) > 1 and all(f" {word} " in told for word in said))


def _counts_coins(text: str, evidence: Evidence) -> bool:
    """Tell a number of coins, that have boxes or are not there, from a price."""
    value, _, unit = text.partition(" ")
    is_boxed = any(thing in evidence.boxed for thing in evidence.vocabulary.find(unit))
    return bool(PRICE.fullmatch(text)) and (is_boxed or value == "0")


def _times(text: str) -> list[int]:
    return [time for time, _, _ in _timed(text)]


def _timed(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield the times of a text in minutes after twelve, and where they stand."""
    lowered = text.lower()
    for found in CLOCK.finditer(lowered):
        yield (60 * int(found["hour"]) + int(found["minute"])) % HALF_DAY, *found.span()
    for found in SPOKEN.finditer(lowered):
        hour = number(found["hour"])
        minutes = PARTS.get(found["part"], NUMBERS.get(found["part"]) or _digits(found["part"]))
        if hour is not None and 1 <= hour <= 24 and minutes is not None:
            sign = 1 if found["side"] in ("past", "after") else -1
            yield (60 * hour + sign * minutes) % HALF_DAY, *found.span()
    for found in SHARP.finditer(lowered):
        hour = number(found["hour"])
        if hour is not None:
            yield 60 * hour % HALF_DAY, *found.span()


def _digits(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
