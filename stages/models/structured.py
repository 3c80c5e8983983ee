"""JSON out of a chat model: how to ask a server for it, and how to find it in a reply."""

from __future__ import annotations

import json
import re
from typing import Any

from json_repair import repair_json

from stages.models.chat import ChatRequest

__all__ = ["Dialect", "json_in"]

STYLES = ("json_schema", "json_object", "none")
"""Ways to ask for JSON, from the strictest down to nothing but the prompt."""

FORMAT_WORDS = ("response_format", "json_schema", "json_object", "structured output", "grammar")
"""A refusal that mentions one of these is about the way JSON was asked for, not about the request."""

THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class Dialect:
    """What one server understands, learnt from its refusals and remembered.

    Attributes:
        is_settled: it has answered a request, so that requests may follow in numbers.
    """

    def __init__(self) -> None:
        self.is_settled = False
        self._style = STYLES[0]
        self._length = "max_tokens"

    def fields(self, request: ChatRequest, max_tokens: int) -> dict[str, Any]:
        """Return the fields of a request that servers differ in."""
        return {self._length: max_tokens, **_response_format(self._style, request)}

    def simpler(self, sent: dict[str, Any], error: str) -> bool:
        """Learn from a refusal, and tell whether the request is worth sending again in other words.

        Args:
            sent: the fields that were refused; a request beside this one may have taught us more since.
            error: what the server said.
        """
        said = error.lower()
        if "max_completion_tokens" in said and "max_tokens" in sent:
            self._length = "max_completion_tokens"
            return True
        style = sent.get("response_format", {"type": "none"})["type"]
        if style == STYLES[-1] or not any(word in said for word in FORMAT_WORDS):
            return False
        if self._style == style:
            self._style = STYLES[STYLES.index(style) + 1]
        return True


def _response_format(style: str, request: ChatRequest) -> dict[str, Any]:
    if style == "none":
        return {}
    if style == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema = {"name": request.schema_name, "schema": request.schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def json_in(reply: str) -> str:
    """Return the JSON object in a reply; the reply itself where there is none, or more than one.

    Thoughts in front, prose and fences around it, and small faults (quotes, commas, comments) are forgiven. What was
    cut off is not: a repaired half sentence would pass for a whole one.
    """
    text = THOUGHTS.sub("", reply).strip()
    found = text[text.find("{") : text.rfind("}") + 1]
    try:
        json.loads(found)
    except (ValueError, RecursionError) as error:
        is_one = not str(error).startswith("Extra data")
        return _repaired(found) or reply if is_one and found and _is_closed(found) else reply
    return found


def _is_closed(text: str) -> bool:
    """Tell whether every bracket has its other half; one in a sentence misleads this, at the price of a question."""
    return all(text.count(left) == text.count(right) for left, right in ("{}", "[]"))


def _repaired(text: str) -> str:
    try:
        value = repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):
        return ""
    return json.dumps(value) if isinstance(value, dict) and value else ""
