"""A search over the index: what the page's filters ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from multidict import MultiMapping

__all__ = ["Query"]

ONE_OF = ("state", "stage", "reason", "split")


@dataclass(frozen=True)
class Query:
    """Filters that all must hold, and an order.

    Attributes:
        chosen: column -> the values of which a row must have one; ``kinds`` holds several values a row.
        ranges: (score, least, greatest); None leaves that side open. A row without the score is left out.
        words: what must all stand in the row's texts, whatever the case.
        sort: a score, or empty for the order of the source.
        descending: the greatest first.
    """

    chosen: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ranges: tuple[tuple[str, float | None, float | None], ...] = ()
    words: tuple[str, ...] = ()
    sort: str = ""
    descending: bool = False

    @classmethod
    def read(cls, parameters: MultiMapping[str]) -> Query:
        """Read a URL's parameters: ``kinds``, ``state``, ``stage``, ``reason``, ``split`` (each may stand several
        times), ``range=SCORE:LEAST:GREATEST``, ``q``, ``sort=SCORE`` or ``sort=-SCORE``.

        Raises:
            ValueError: a range is no range.
        """
        sort = parameters.get("sort", "")
        return cls(
            tuple((name, tuple(sorted(parameters.getall(name)))) for name in ("kinds", *ONE_OF) if name in parameters),
            tuple(_range(text) for text in parameters.getall("range", [])),
            tuple(parameters.get("q", "").lower().split()),
            sort.removeprefix("-"),
            sort.startswith("-"),
        )

    def check(self, scores: Mapping[str, Any], facets: Mapping[str, Any]) -> None:
        """Raise ValueError where a score is named that the run does not have."""
        for name in (*(name for name, _, _ in self.ranges), *filter(None, [self.sort])):
            if name not in scores:
                raise ValueError(f"{name}: no such score")
        if unknown := [name for name, _ in self.chosen if name not in facets]:
            raise ValueError(f"{unknown[0]}: no such filter")

    def expression(self) -> pl.Expr:
        """Return what a row must satisfy."""
        import polars as pl

        return pl.all_horizontal(pl.lit(True), *self._conditions())

    def _conditions(self) -> Iterator[pl.Expr]:
        import polars as pl

        for name, values in self.chosen:
            column = pl.col(name)
            if name == "kinds":
                yield pl.any_horizontal([column.list.contains(value) for value in values])
            else:
                yield column.is_in(values)
        for name, least, greatest in self.ranges:
            if least is not None:
                yield pl.col(name) >= least
            if greatest is not None:
                yield pl.col(name) <= greatest
        for word in self.words:
            yield pl.col("text").str.contains(word, literal=True)


def _range(text: str) -> tuple[str, float | None, float | None]:
    try:
        name, least, greatest = text.rsplit(":", 2)
        return name, float(least) if least else None, float(greatest) if greatest else None
    except ValueError as error:
        raise ValueError(f"range = {text}: must be SCORE:LEAST:GREATEST") from error
