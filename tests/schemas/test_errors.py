"""What the user reads when something is wrong."""

from __future__ import annotations

import pickle

import pytest

from schemas.errors import ConfigError, FatalError, Mistake, Reject, ShowtellError, nearest


@pytest.mark.parametrize(
    ("name", "valid", "hint"),
    [
        ("captoins", ["captions", "boxes"], " (did you mean captions?)"),
        ("zzz", ["b", "a"], " (valid: a, b)"),
        ("anything", [], ""),
    ],
)
def test_nearest(name: str, valid: list[str], hint: str) -> None:
    """A near miss is named; else all there is, in order; else nothing."""
    assert nearest(name, valid) == hint


def test_one_line_a_mistake() -> None:
    """Whatever a parser's message looks like, every mistake is one line with file, key and value."""
    error = ConfigError("c.yaml", [Mistake("a.b", "3", "must be\n   a list"), Mistake("c", "", "missing")])
    assert str(error) == "c.yaml: a.b = 3: must be a list\nc.yaml: c: missing"


@pytest.mark.parametrize("error", [ConfigError("f", [Mistake("k", "v", "p")]), FatalError("f"), Reject("r", "d")])
def test_errors_travel_between_processes(error: ShowtellError) -> None:
    """An error raised in an actor arrives as it was."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
