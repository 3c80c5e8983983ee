"""What becomes of a conversation in which the check finds something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from schemas.errors import Reject
from stages.checks import CheckConfig, Context, Finding, FindingType, check
from stages.checks.nouns import NOUNS_FILE

__all__ = ["REASONS", "UNSUPPORTED", "OnUnsupported", "Vetting"]

OnUnsupported = Literal["reject", "repair", "keep"]

UNSUPPORTED = "unsupported"

REASONS = {UNSUPPORTED: "the check found something wrong, with `repair` also in what the model wrote when told so"}

MOST_TOLD = 12
"""Findings that a reject's detail, and so the second request, names."""

SEEN: frozenset[FindingType] = frozenset({"object", "colour", "text"})
"""What a model that sees the image may rightly know better than captions and boxes."""

PROBE = {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "Dogs."}]}


class Vetting:
    """Checks conversations, and rejects or marks those with findings.

    Args:
        config: the check's settings.
        on_unsupported: what to do about findings.
        sees_image: whether the model that writes sees the image. Then what only the image can support is not looked
            for, unless ``types`` names it.
    """

    def __init__(self, config: CheckConfig, on_unsupported: OnUnsupported, *, sees_image: bool) -> None:
        self._config = config
        if sees_image and "types" not in config.model_fields_set:
            self._config = config.model_copy(update={"types": [each for each in config.types if each not in SEEN]})
        self._keeps = on_unsupported == "keep"
        self.repairs = int(on_unsupported == "repair")
        """How often a conversation with findings may be asked for again."""

    def files(self) -> list[str]:
        """Return what the findings depend on beside the code."""
        return [str(NOUNS_FILE)] if self._config.types else []

    def warm_up(self) -> None:
        """Load dictionary and language model, about two seconds, before several threads ask for them at once."""
        if self._config.types:
            check(PROBE, Context(captions=["a dog"]), self._config)

    def vet(self, conversation: Mapping[str, Any], context: Context, counts: Counter[str]) -> dict[str, Any]:
        """Return the conversation with its ``findings``.

        Args:
            conversation: ``kind`` and ``messages``; other keys are passed on.
            context: what is known of the image.
            counts: ``findings_TYPE`` is added to it.

        Raises:
            Reject: ``unsupported``, there are findings and they are not to be kept; the detail tells what they are.
        """
        if not self._config.types:
            return dict(conversation)
        found = check(conversation, context, self._config)
        counts.update(f"findings_{finding.type}" for finding in found)
        if found and not self._keeps:
            raise Reject(UNSUPPORTED, _told(conversation["kind"], found))
        return {**conversation, "findings": [asdict(finding) for finding in found]}


def _told(kind: str, found: Sequence[Finding]) -> str:
    sentences = list(dict.fromkeys(f"{finding.type}: {finding.message}" for finding in found))
    more = [f"and {len(sentences) - MOST_TOLD} more"] if len(sentences) > MOST_TOLD else []
    return f"{kind}: {'; '.join([*sentences[:MOST_TOLD], *more])}"
