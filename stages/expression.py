"""Expressions over columns: SQL, as polars parses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["expression_of", "first_line"]


def expression_of(text: str) -> pl.Expr:
    """Parse a SQL expression; raises ValueError with the parser's complaint."""
    import polars as pl

    try:
        return pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"not an expression: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return what polars complains of, without the advice below it."""
    return str(error).strip().split("\n", 1)[0]
