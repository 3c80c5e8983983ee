"""The thresholds of ``filter`` steps, and its expressions with one of them taken out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PASSES", "Threshold", "thresholds"]

PASSES = "_passes"
"""The column that stands for a comparison in ``Threshold.rest``."""

OPERATORS = {"Eq": "=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
"""As polars names them; ``<>`` is the negation of ``=``."""
FROM_THE_RIGHT = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Threshold:
    """A column that a ``filter`` step compares with a number.

    Attributes:
        step: the step's name.
        column: the column, as the expression names it.
        operator: how it is compared, the column on the left.
        number: what with; None for ``keep_top``, whose number only the data tell.
        rest: the step's expression, as polars serialises it, with the column ``PASSES`` in the comparison's place;
            empty for ``keep_top``.
        columns: every column the step reads.
    """

    step: str
    column: str
    operator: str
    number: float | None
    rest: str
    columns: tuple[str, ...]

    @property
    def is_bound(self) -> bool:
        """Whether it has a side: ``=`` has none."""
        return self.operator in FROM_THE_RIGHT


def thresholds(steps: Sequence[Mapping[str, Any]]) -> list[Threshold]:
    """Return the thresholds of a run's ``filter`` steps, in order.

    Only a column itself beside a number counts: ``abs(x) > 1`` draws no line through a histogram of ``x``.

    Args:
        steps: as ``StoredColumns.steps`` gives them.
    """
    return [found for step in steps if step["use"] == "filter" for found in _of_step(step["name"], step["settings"])]


def _of_step(name: str, settings: Mapping[str, Any]) -> Iterator[Threshold]:
    from stages.expression import expression_of

    if top := settings.get("keep_top"):
        yield Threshold(name, top["column"], ">=", None, "", (top["column"],))
        return
    expression = expression_of(settings["keep"])
    columns = tuple(sorted(set(expression.meta.root_names())))
    tree = {"keep": json.loads(expression.meta.serialize(format="json"))}
    for holder, key in list(_nodes(tree)):
        if compared := _comparison(holder[key]):
            comparison, holder[key] = holder[key], {"Column": PASSES}
            yield Threshold(name, *compared, json.dumps(tree["keep"]), columns)
            holder[key] = comparison


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in polars' tree of an expression, as what holds it and its key there, from the top down."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in items:
        yield tree, key
        yield from _nodes(inner)


def _comparison(node: Any) -> tuple[str, str, float] | None:
    """Return column, operator and number of a comparison of the two; None for anything else."""
    operator, left, right = _sides(node)
    for one, other, seen in ((left, right, operator), (right, left, FROM_THE_RIGHT.get(operator, operator))):
        number = _number(other)
        if isinstance(one, dict) and "Column" in one and number is not None:
            return one["Column"], seen, number
    return None


def _sides(node: Any) -> tuple[str, Any, Any]:
    """Return operator and both sides of a comparison; polars has another node for one with a decimal."""
    if not isinstance(node, dict):
        return "", None, None
    if (binary := node.get("BinaryExpr")) and binary["op"] in OPERATORS:
        return OPERATORS[binary["op"]], binary["left"], binary["right"]
    function = node.get("Function", {}).get("function")
    sql = function.get("Sql") if isinstance(function, dict) else None
    if isinstance(sql, dict) and sql.get("Binary") in OPERATORS:
        left, right = node["Function"]["input"]
        return OPERATORS[sql["Binary"]], left, right
    return "", None, None


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
