"""The system prompts, one text file a kind: rules, worked examples, styles.

Their rules are those of LLaVA's data generation (haotian-liu/LLaVA, playground/data/prompts) and, for ``caption``, of
PixMo-Cap (Deitke et al. 2024, allenai/molmo), in our own words; the examples are about images that do not exist.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from schemas.config import ExistingPath

__all__ = ["VERSION", "Prompt", "PromptFile", "prompt_file", "read_prompt"]

VERSION = 2
"""Stands in the provenance of every conversation; raised with every change of a prompt."""

STYLES_HEADING = "## Styles"
STYLE = re.compile(r"(?P<name>\w+): (?P<rule>\S.*)")


@dataclass(frozen=True)
class Prompt:
    """What the model is told before it sees a sample.

    Attributes:
        name: tells in provenances which prompt it was.
        text: the rules and examples.
        styles: name -> what is asked for in addition; empty where there is but one style.
    """

    name: str
    text: str
    styles: Mapping[str, str]

    def system(self, style: str | None) -> str:
        """Return the system message that asks for a style."""
        return f"{self.text}\n\nStyle: {self.styles[style]}" if style else self.text


def prompt_file(kind: str) -> str:
    """Return the file that holds the prompt of ``kind``."""
    return str(Path(__file__).with_name(f"{kind}.txt"))


def read_prompt(file: str) -> Prompt:
    """Read a prompt: a text in UTF-8 that may end with a section ``## Styles``, one ``name: rule`` a line.

    Raises:
        ValueError: it is no such file.
    """
    try:
        data = Path(file).read_bytes()
        whole = data.decode("utf-8")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}: {file}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: {file}") from error
    text, heading, listed = whole.partition(f"\n{STYLES_HEADING}\n")
    if not text.strip():
        raise ValueError(f"holds no prompt: {file}")
    styles = _styles(listed, file) if heading else {}
    return Prompt(_name(Path(file), data), text.strip(), styles)


def _styles(listed: str, file: str) -> dict[str, str]:
    styles: dict[str, str] = {}
    for line in filter(None, map(str.strip, listed.splitlines())):
        found = STYLE.fullmatch(line)
        if found is None or found["name"] in styles:
            raise ValueError(f"has a style that is no `name: rule` of its own: {line!r}: {file}")
        styles[found["name"]] = found["rule"]
    if not styles:
        raise ValueError(f"has no style under {STYLES_HEADING}: {file}")
    return styles


def _name(file: Path, data: bytes) -> str:
    if file.parent == Path(__file__).parent:
        return f"v{VERSION}"
    return f"{file.stem}-{hashlib.sha256(data).hexdigest()[:8]}"


def _readable(file: str) -> str:
    read_prompt(file)
    return file


PromptFile = Annotated[ExistingPath, AfterValidator(_readable)]
"""A file with a prompt of the user's own."""
