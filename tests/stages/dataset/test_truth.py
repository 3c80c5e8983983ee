"""What the stages did about planted trouble, in numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.dataset.truth import against_truth, read_truth


def test_read(tmp_path: Path) -> None:
    """Each line is a sample and its trouble; blank lines do not count, odd line separators inside a name do not cut."""
    file = tmp_path / "truth.jsonl"
    file.write_text('{"id": "a", "trouble": "spam", "more": 1}\n\n{"id": "b\u2028c", "trouble": null}\n')
    assert read_truth(str(file)) == {"a": "spam", "b\u2028c": None}


@pytest.mark.parametrize("line", ["{", "[]", "5", '{"id": "a"}', '{"trouble": "x"}', '{"id": [], "trouble": "x"}'])
def test_a_line_that_is_none(tmp_path: Path, line: str) -> None:
    """The number of the first bad line is told."""
    file = tmp_path / "truth.jsonl"
    file.write_text(f'{{"id": "a", "trouble": null}}\n{line}\n')
    with pytest.raises(ValueError, match="line 2 is no JSON object with id and trouble"):
        read_truth(str(file))


def test_against() -> None:
    """Trouble by name, sound rows last; rejects of rows the truth does not know are left out."""
    truth = {"a": "spam", "b": "spam", "c": "spam", "d": "noise", "e": None, "f": None}
    rejects = [
        ("a", "clip", "low"), ("b", "clip", "low"), ("c", "dedupe", "twin"), ("e", "clip", "low"), ("z", "x", "y"),
    ]
    found = {entry.trouble: entry for entry in against_truth(truth, rejects)}
    assert list(found) == ["noise", "spam", "sound"]
    assert (found["spam"].planted, found["spam"].rejected, found["spam"].recall) == (3, 3, 1.0)
    assert found["spam"].reasons == {"clip: low": 2, "dedupe: twin": 1}
    assert (found["noise"].planted, found["noise"].rejected, found["noise"].recall) == (1, 0, 0.0)
    assert (found["sound"].planted, found["sound"].rejected) == (2, 1)


def test_against_nothing() -> None:
    """An empty truth has only an empty line of sound rows."""
    (sound,) = against_truth({}, [("a", "clip", "low")])
    assert (sound.trouble, sound.planted, sound.rejected, sound.recall) == ("sound", 0, 0, 0.0)
