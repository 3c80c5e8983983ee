"""The system prompts, one text file a kind of conversation.

Their rules are those of LLaVA's data generation (haotian-liu/LLaVA, playground/data/prompts), in our own
words.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["VERSION", "prompt_file", "system_prompt"]

VERSION = 1
"""Stands in the provenance of every conversation; raised with every change of a prompt."""


def prompt_file(kind: str) -> Path:
    """Return the file that holds the system prompt of ``kind``."""
    return Path(__file__).with_name(f"{kind}.txt")


def system_prompt(kind: str) -> str:
    """Return the system prompt of ``kind``."""
    return prompt_file(kind).read_text(encoding="utf-8").strip()
