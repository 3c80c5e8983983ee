"""The numbers that ``filter`` expressions compare columns with."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["thresholds"]

COMPARISONS = {"Eq", "NotEq", "Lt", "LtEq", "Gt", "GtEq"}


def thresholds(steps: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return column -> numbers that a run's ``filter`` steps compare it with, in order.

    Only a column itself beside a number counts: ``abs(x) > 1`` draws no line through a histogram of ``x``.

    Args:
        steps: as ``RunView.steps`` gives them.
    """
    found: defaultdict[str, set[float]] = defaultdict(set)
    for step in steps:
        if step["use"] == "filter" and step["settings"].get("keep"):
            for column, value in _comparisons(_parsed(step["settings"]["keep"])):
                found[column].add(value)
    return {column: sorted(values) for column, values in found.items()}


def _parsed(expression: str) -> Any:
    from stages.filter import expression_of

    return json.loads(expression_of(expression).meta.serialize(format="json"))


def _comparisons(node: Any) -> Iterator[tuple[str, float]]:
    """Yield column and number of each comparison in polars' tree of an expression."""
    if isinstance(node, list):
        for inner in node:
            yield from _comparisons(inner)
    if not isinstance(node, dict):
        return
    left, right = _sides(node)
    for one, other in ((left, right), (right, left)):
        number = _number(other)
        if isinstance(one, dict) and "Column" in one and number is not None:
            yield one["Column"], number
    for inner in node.values():
        yield from _comparisons(inner)


def _sides(node: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return both sides of a comparison; polars has another node for one with a decimal."""
    if node.get("op") in COMPARISONS:
        return node["left"], node["right"]
    function = node.get("function")
    sql = function.get("Sql") if isinstance(function, dict) else None
    if isinstance(sql, dict) and sql.get("Binary") in COMPARISONS:
        left, right = node["input"]
        return left, right
    return None, None


def _number(node: Any) -> float | None:
    """Return the number of a literal: an integer, a float, or a decimal ``[digits, precision, scale]``."""
    literal = node.get("Literal") if isinstance(node, dict) else None
    if not isinstance(literal, dict):
        return None
    for value in (value for inner in literal.values() if isinstance(inner, dict) for value in inner.values()):
        if isinstance(value, list) and len(value) == 3:
            return float(value[0] / 10 ** value[2])
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None
