"""The card's sections on what is in the dataset."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.dataset.census import OPENING_WORDS, Census
from stages.dataset.markdown import counts_table, escape, ordered, shortened, table
from stages.dataset.scores import lengths

__all__ = ["bias", "contents", "examples"]

THUMBNAIL = (256, 256)
MOST_SHOWN = 30
"""Occupations in the table, and kinds."""
LONGEST_TEXT = 1000
"""Characters shown of a turn."""


def contents(folder: Path, census: Census) -> str:
    """Return what was counted, each under its heading."""
    kinds = table(
        ["kind", "conversations", "turns", "words an answer"],
        [(kind, count, census.turns[kind], f"{census.answer_words[kind] / max(1, census.turns[kind]):.1f}")
         for kind, count in ordered(census.kinds)[:MOST_SHOWN]],
    )
    turns = {str(number): count for number, count in sorted(census.turn_counts.items())}
    sections = [f"### Kinds\n\n{kinds}", f"### Turns\n\n{table(['turns', 'conversations'], turns.items())}",
                lengths(folder, census)]
    opening = f"first {OPENING_WORDS} words"
    parts = [
        ("Languages", ["language", "conversations"], census.languages),
        ("Questions begin with", [opening, "questions"], census.openings),
        ("Written by", ["by", "conversations"], census.provenance),
        ("Licences", ["licence", "samples"], census.licenses),
        ("Hosts", ["host", "samples"], census.hosts),
        ("Objects", ["label", "boxes"], census.labels),
        ("Colours", ["word in an answer", "times"], census.colours),
        ("Findings", ["type", "findings"], census.findings),
    ]
    for title, header, counts in parts:
        error = getattr(counts, "error", 0)
        if counts or error:
            note = f"\nMore names than were held: counts may be up to {error} too low.\n" if error else ""
            sections.append(f"### {title}\n\n{counts_table(header, counts)}{note}")
    has = (f"Of {census.samples.total()} samples {census.pictured} have a picture, {census.captioned} captions, "
           f"{census.boxed} boxes, {census.transcribed} a transcript.\n\n")
    checked = (
        f"{census.checked} conversations were checked against captions, boxes and transcript before they were kept; "
        f"{census.doubted} of them have findings, told in the column `findings`.\n\n" if census.checked else ""
    )
    return f"## What is in it\n\n{has}{checked}" + "\n".join(filter(None, sections))


def bias(census: Census) -> str:
    """Return counts by which somebody can balance the data: people, and where pictures come from."""
    said = census.people.words
    share = census.lettered / max(1, census.samples.total())
    without = census.samples.total() - census.countries.total()
    found = sorted(census.people.occupations.items(), key=lambda item: (-item[1].total(), item[0]))
    beside = ["women", "men", "both", "neither"]
    rows = [(occupation, *(counts[each] for each in beside)) for occupation, counts in found[:MOST_SHOWN]]
    none = "No answer names an occupation of our list.\n"
    occupations = table(["occupation", *beside], rows) if rows else none
    countries = counts_table(["country code", "samples"], census.countries) if census.countries else (
        "No host's name ends in a country's code.\n")
    return f"""## Bias, as counts

These are counts of words and names, not judgements. Answers have {said['women']} words for women and
{said['men']} for men (she, woman, mother; he, man, father).

### People

Sentences of answers that name an occupation, by the gendered words that stand in the same sentence:

{occupations}
### Geography

Samples by the country code at the end of their host's name; {without} have none:

{countries}
### Writing in pictures

{census.lettered} of {census.samples.total()} samples ({share:.1%}) have a caption or an answer that tells of writing in
the picture (text, sign, logo, reads). The pictures themselves have not been read.
"""


def examples(folder: Path, census: Census) -> str:
    """Return example samples with small pictures, of each kind of conversation one."""
    if not census.examples:
        return ""
    (folder / "examples").mkdir()
    return "## Examples\n\n" + "\n".join(_example(folder, index, rows) for index, rows in enumerate(census.examples))


def _example(folder: Path, index: int, rows: Sequence[Mapping[str, Any]]) -> str:
    name = f"examples/{index}.png"
    _thumbnail(rows[0]["images"][0]["bytes"], folder / name)
    title = escape(shortened(rows[0]["id"]))
    lines = [f"### {title}\n\n![sample {title}]({name})\n"]
    firsts: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        firsts.setdefault(row["kind"], row)
    for row in firsts.values():
        types = Counter(finding["type"] for finding in row["findings"] or ())
        found = f"; findings: {', '.join(f'{type_} {count}' for type_, count in ordered(types))}" if types else ""
        lines.append(f"**{escape(shortened(row['kind']))}** ({escape(shortened(row['provenance']))}{found})\n")
        lines += [
            f"> **{message['role']}:** {escape(shortened(message['content'], LONGEST_TEXT))}\n>"
            for message in row["messages"]
        ]
        lines[-1] = lines[-1].removesuffix("\n>") + "\n"
    return "\n".join(lines)


def _thumbnail(image: bytes, file: Path) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(image)) as picture:
        small = picture.convert("RGB")
        small.thumbnail(THUMBNAIL)
        small.save(file)
