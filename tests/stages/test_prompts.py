"""Our prompts and users' own: files of rules, worked examples and styles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from stages.checks import Context, check
from stages.context import Box, caption_message, user_message
from stages.models.chat import ChatReply
from stages.prompts import VERSION, prompt_file, read_prompt
from stages.replies import Kind, read_reply
from stages.wordings import DETAIL

KINDS: tuple[Kind, ...] = get_args(Kind)
EXAMPLE = re.compile(r"## Example\n\n(?P<asked><data>\n.*?\n</data>\n\nWrite: \w+)\n\n(?P<reply>\{.*\})", re.DOTALL)


def examples(kind: Kind) -> list[tuple[str, str]]:
    """Return question and reply of each worked example."""
    parts = read_prompt(prompt_file(kind)).text.split("\n\n## Example")[1:]
    found = [EXAMPLE.fullmatch(f"## Example{part}".strip()) for part in parts]
    return [(match["asked"], match["reply"]) for match in found if match]


def told(asked: str) -> tuple[Context, list[str]]:
    """Return what an example's question says of its image, and its transcripts."""
    data = asked.removeprefix("<data>\n").partition("\n</data>")[0]
    sections = {heading: text for heading, _, text in (part.partition(":\n") for part in data.split("\n\n"))}
    lines = [line.rpartition(": ") for line in sections["Objects"].splitlines()] if "Objects" in sections else None
    boxes = None if lines is None else [Box(label=label, box=json.loads(edges)) for label, _, edges in lines]
    captions = [line.removeprefix("- ") for line in sections.get("Captions", "").splitlines()]
    transcripts = [line.removeprefix("- ") for line in sections.get("Transcripts", "").splitlines()]
    return Context(captions, boxes, sections.get("Spoken description")), transcripts


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_asked_as_samples_are(kind: Kind) -> None:
    """Each prompt has two or three, in the very form in which samples are told."""
    found = examples(kind)
    assert 2 <= len(found) <= 3
    for asked, _ in found:
        known, transcripts = told(asked)
        if kind == "caption":
            assert caption_message(transcripts) == asked
        else:
            assert user_message(known.captions, known.boxes, known.transcript, kind) == asked


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_replies_we_would_keep(kind: Kind) -> None:
    """They parse, and the check finds nothing in them."""
    for asked, reply in examples(kind):
        messages = read_reply(kind, ChatReply(reply, "stop", 0, 0)).messages(DETAIL[0])
        known, transcripts = told(asked)
        context = Context(captions=transcripts) if kind == "caption" else known
        assert check({"kind": kind, "messages": messages}, context) == []


@pytest.mark.parametrize("kind", KINDS)
def test_styles_vary(kind: Kind) -> None:
    """Each prompt has at least three, which stand at the end of the system message, one at a time."""
    prompt = read_prompt(prompt_file(kind))
    assert len(prompt.styles) >= 3
    assert prompt.name == f"v{VERSION}"
    assert "## Styles" not in prompt.text
    systems = {prompt.system(style) for style in prompt.styles}
    assert len(systems) == len(prompt.styles)
    assert all(system.startswith(prompt.text) for system in systems)


def test_own_prompt_is_known_by_its_content(tmp_path: Path) -> None:
    """Its name in provenances changes with it; without styles there is nothing to draw."""
    file = tmp_path / "mine.txt"
    file.write_text("Describe it.\n")
    first = read_prompt(str(file))
    assert (first.text, first.styles, first.system(None)) == ("Describe it.", {}, "Describe it.")
    assert re.fullmatch(r"mine-[0-9a-f]{8}", first.name)
    file.write_text("Describe it.\n\n## Styles\n\nplain: Be plain.\nodd: Be odd: always.\n")
    second = read_prompt(str(file))
    assert second.name != first.name
    assert second.styles == {"plain": "Be plain.", "odd": "Be odd: always."}
    assert second.system("odd") == "Describe it.\n\nStyle: Be odd: always."


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "holds no prompt"), (b" \n", "holds no prompt"), (b"\xff\xfe", "is not UTF-8"),
        (b"Write.\n## Styles\n", "has no style"), (b"Write.\n## Styles\nplain\n", "'plain'"),
        (b"Write.\n## Styles\na: x\na: y\n", "'a: y'"),
    ],
)
def test_what_is_no_prompt_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    """The message says what is wrong and in which file."""
    file = tmp_path / "mine.txt"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=problem) as caught:
        read_prompt(str(file))
    assert str(file) in str(caught.value)


def test_folder_is_no_prompt(tmp_path: Path) -> None:
    """A folder cannot be read."""
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_prompt(str(tmp_path))
