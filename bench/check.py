"""How well the check tells true statements about images from false ones.

The images' captions and boxes are not part of the project: files of LLaVA's form (``id``, ``captions``, ``instances``)
or ours (``boxes``) have them. Measured are statements written for it, true ones and ones with one planted error, and
captions that people wrote: each of an image's own captions, with and without itself among what is known, and captions
of other images.

    python -m bench.check CONTEXTS.jsonl PHOTOS.jsonl [--missed]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.checks import Context, Finding, check
from stages.context import Box

__all__ = ["SETS", "STATEMENTS", "Score", "main", "read_contexts", "read_statements", "score"]

STATEMENTS = Path(__file__).parents[1] / "tests" / "stages" / "checks" / "statements.jsonl"
OTHERS = 8
"""Captions of other images each context is checked with."""

SETS = {
    "first": "written before the rules",
    "held_out": "written before the rules, about other contexts, and not looked at while the rules were written",
    "later": "written when the rules were done, about other images",
    "last": "written after the faults that these showed were mended, about other images again",
}

Statement = Mapping[str, Any]
"""``messages`` and ``kind``, the ``context`` they are about, its ``set``, and ``error``: the type planted, or null."""


@dataclass
class Score:
    """What the check found in some statements."""

    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    """By type: planted errors with a finding of their type."""
    flagged: Counter[str] = field(default_factory=Counter)
    """By type: statements with such a finding, whether it was planted or not."""
    true: int = 0
    false_alarms: int = 0
    """True statements with any finding."""
    wrong: list[tuple[Statement, list[Finding]]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Share of the planted errors that were caught as what they are."""
        return self.caught.total() / max(1, self.planted.total())

    @property
    def false_alarm_rate(self) -> float:
        """Share of the true statements with a finding."""
        return self.false_alarms / max(1, self.true)


def read_contexts(*paths: Path) -> dict[str, Context]:
    """Return the contexts of some files by id; those of ours without boxes are not annotated."""
    rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: Context(row["captions"], _boxes(row)) for row in rows}


def _boxes(row: Mapping[str, Any]) -> list[Box] | None:
    if "instances" in row:
        return [Box(label=each["category"], box=each["bbox"]) for each in row["instances"]]
    return row["boxes"] or None


def read_statements() -> list[Statement]:
    """Return the written statements."""
    return [json.loads(line) for line in STATEMENTS.read_text(encoding="utf-8").splitlines()]


def score(statements: Sequence[Statement], contexts: Mapping[str, Context]) -> Score:
    """Check each statement against its context."""
    result = Score()
    for statement in statements:
        findings = check(statement, contexts[statement["context"]])
        types, planted = {finding.type for finding in findings}, statement["error"]
        result.flagged.update(types)
        if planted is None:
            result.true += 1
            result.false_alarms += bool(types)
        else:
            result.planted[planted] += 1
            result.caught[planted] += planted in types
        if bool(types) if planted is None else planted not in types:
            result.wrong.append((statement, findings))
    return result


def table(result: Score) -> Iterator[str]:
    """Yield the lines of a table of precision and recall by type."""
    yield "| type | planted | recall | precision |"
    yield "| --- | --- | --- | --- |"
    for kind, number in sorted(result.planted.items()):
        caught = result.caught[kind]
        precision = f"{caught / result.flagged[kind]:.2f}" if result.flagged[kind] else "-"
        yield f"| {kind} | {number} | {caught / number:.2f} | {precision} |"
    yield f"| all | {result.planted.total()} | {result.recall:.3f} | |"
    yield f"false alarms: {result.false_alarms} of {result.true} true statements ({result.false_alarm_rate:.3f})"


def captioned(contexts: Mapping[str, Context]) -> Iterator[tuple[str, int, int]]:
    """Yield what people's captions were checked against, how many had a finding, and how many there were."""
    own = [(context, text) for context in contexts.values() for text in context.captions]
    without = [
        (Context([other for other in context.captions if other != text], context.boxes), text) for context, text in own
    ]
    rng = random.Random("captions of other images")
    others = [
        (context, text) for context in contexts.values()
        for text in rng.sample([text for other, text in own if other is not context], OTHERS)
    ]
    for name, pairs in (("all that is known", own), ("all but itself", without), ("another image", others)):
        yield name, sum(bool(check(said(text), context)) for context, text in pairs), len(pairs)


def said(text: str) -> dict[str, Any]:
    """Return a conversation in which the assistant says a text."""
    question = {"role": "user", "content": "What do you see?"}
    return {"kind": "conversation", "messages": [question, {"role": "assistant", "content": text}]}


def milliseconds(statements: Sequence[Statement], contexts: Mapping[str, Context]) -> float:
    """Return the CPU time of a check, after everything was loaded, with contexts in an order that none stays known."""
    mixed = random.Random("time").sample(list(statements), len(statements))
    started = time.process_time()
    score(mixed, contexts)
    return 1000 * (time.process_time() - started) / len(mixed)


def main() -> None:
    """Print the tables; with ``--missed`` also what was missed and falsely reported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contexts", type=Path, nargs="+")
    parser.add_argument("--missed", action="store_true")
    given = parser.parse_args()
    contexts = read_contexts(*given.contexts)
    statements = [each for each in read_statements() if each["context"] in contexts]
    for name, meaning in SETS.items():
        result = score([each for each in statements if each["set"] == name], contexts)
        print(f"\nstatements {meaning}", *table(result), sep="\n")
        for statement, findings in result.wrong if given.missed else ():
            answer = str(statement["messages"][-1]["content"])[:200]
            print(f"  {statement['error'] or 'true'}: {answer!r}: {[(each.type, each.message) for each in findings]}")
    print("\ncaptions by people, with a finding when checked against")
    for name, flagged, number in captioned(contexts):
        print(f"{name:20s} {flagged:4d} of {number} ({flagged / number:.3f})")
    print(f"\n{milliseconds(statements, contexts):.2f} ms of CPU a conversation")


if __name__ == "__main__":
    main()
