"""dedupe: clusters by file, hash and embedding; the best of each is kept, whatever the order of the source."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from schemas.errors import FatalError
from schemas.storage import Storage
from stages.dedupe import Dedupe, DedupeConfig

SCHEMA = pa.schema([
    ("id", pa.string()), ("sha256", pa.string()), ("phash", pa.string()), ("image_embedding", pa.list_(pa.float16())),
    ("original_width", pa.int32()), ("original_height", pa.int32()), ("width", pa.int32()), ("height", pa.int32()),
    ("clip_score", pa.float32()), ("license", pa.string()),
])
FAR = 0x00FF00FF00FF00FF


def row(name: str, file: int | None, code: int | None = None, **more: Any) -> dict[str, Any]:
    """Return a row with a file's digest, given by a number, and a hash, by default one far from all others."""
    own = code if code is not None else None if file is None else (FAR * (file + 1) * 0x9E3779B97F4A7C15) % 2**64
    return {
        "id": name, "sha256": None if file is None else f"{file:064x}"[::-1],
        "phash": None if own is None else f"{own:016x}", **more,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as the stage sees them."""
    return pa.Table.from_pylist(list(rows), SCHEMA)


def outcome(rows: Sequence[Mapping[str, Any]], part_rows: int = 2, **settings: Any) -> dict[str, dict[str, Any]]:
    """Survey the rows part by part, process them, and return each one's values by id."""
    stage = Dedupe(DedupeConfig.model_validate({"use": "dedupe", **settings}))
    stage.folder = Storage(tempfile.gettempdir())
    whole = table(rows)
    stage.surveyed = stage.survey(whole.slice(start, part_rows) for start in range(0, len(rows), part_rows))
    values = stage.process(whole).to_pylist()
    return {row["id"]: value for row, value in zip(rows, values, strict=True)}


def rejected(found: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return reason and kept id of each rejected row."""
    return {name: (row["_reason"], row["duplicate_of"]) for name, row in found.items() if row["_reason"]}


def test_each_kind_has_its_reason() -> None:
    """The same file, a close hash and a close embedding are told apart, and the detail names the kept sample."""
    east, north = [1.0, 0.0], [0.0, 1.0]
    rows = [
        row("a", 1, 0xFF, image_embedding=east), row("b", 1, 0xFF, image_embedding=east),
        row("c", 2, 0xFE, image_embedding=north), row("d", 3, image_embedding=[0.99, 0.01]),
        row("e", 4, image_embedding=[-1.0, 0.0]),
    ]
    found = outcome(rows, near=1, semantic=0.9)
    assert rejected(found) == {
        "b": ("duplicate_exact", "a"), "c": ("duplicate_near", "a"), "d": ("duplicate_semantic", "a"),
    }
    assert found["c"]["_detail"] == "of a"
    assert {name: values["duplicate_cluster"] for name, values in found.items()} == {
        "a": "a", "b": "a", "c": "a", "d": "a", "e": "e",
    }


def test_distance_counts_bits() -> None:
    """Hashes as far apart as allowed are duplicates, one bit more is none, and 0 asks for equal ones."""
    rows = [row("a", 1, 0), row("b", 2, 0b111), row("c", 3, 0xF000), row("d", 4, 0)]
    assert rejected(outcome(rows, near=3)) == {"b": ("duplicate_near", "a"), "d": ("duplicate_near", "a")}
    assert rejected(outcome(rows, near=0)) == {"d": ("duplicate_near", "a")}


def test_duplicates_of_duplicates_are_one_cluster() -> None:
    """A chain of close hashes is one cluster, of which one row is kept."""
    rows = [row(name, number, (1 << 3 * number) - 1) for number, name in enumerate("abcde")]
    found = outcome(rows, near=3)
    assert {values["duplicate_cluster"] for values in found.values()} == {"a"}
    assert set(rejected(found)) == set("bcde")


BEST = {
    "most pixels as it came": (["resolution"], {"original_width": 9, "original_height": 9}, "b"),
    "pixels as kept, where no others are known": (["resolution"], {"original_width": None, "width": 300}, "b"),
    "the highest score": (["score"], {"clip_score": 0.9}, "b"),
    "a score before none": (["score"], {"clip_score": None}, "a"),
    "a license before none": (["license"], {"license": "odd"}, "b"),
    "the first that differs": (["license", "resolution", "score"], {"clip_score": 0.6}, "b"),
    "the smallest id": (["resolution", "score", "license"], {}, "a"),
}


@pytest.mark.parametrize(("keep_best", "better", "kept"), BEST.values(), ids=BEST)
def test_the_best_is_kept(keep_best: list[str], better: dict[str, Any], kept: str) -> None:
    """Resolution, score and license decide in the order given, then the id; the order of rows never does."""
    usual = {
        "original_width": 8, "original_height": 8, "width": 8, "height": 8, "clip_score": 0.5, "license": None,
    }
    worse = {"width": 7, "clip_score": 0}
    rows = [row("a", 1, **usual), row("b", 1, **{**usual, **better}), row("c", 1, **{**usual, **worse})]
    if keep_best == ["resolution"] and better.get("width"):
        rows = [{**each, "original_width": None} for each in rows]
    for order in (rows, rows[::-1]):
        found = outcome(order, keep_best=keep_best)
        assert set(found) - set(rejected(found)) == {kept}
        assert {values["duplicate_cluster"] for values in found.values()} == {order[0]["id"]}


def test_licenses_in_the_users_order() -> None:
    """Named licenses come first, in their order, then others, then none."""
    rows = [row("a", 1), row("b", 1, license="other"), row("c", 1, license="CC-BY"), row("d", 1, license="CC0")]
    found = outcome(rows, keep_best=["license"], licenses=["CC0", "CC-BY"])
    assert set(found) - set(rejected(found)) == {"d"}
    found = outcome(rows[:3], keep_best=["license"], licenses=["CC0", "CC-BY"])
    assert set(found) - set(rejected(found)) == {"c"}


def test_looser_kinds_can_only_share_a_cluster() -> None:
    """What `reject` does not name keeps its rows, in one cluster; the best is chosen among stricter duplicates only."""
    rows = [row("a", 1, 0), row("b", 1, 0), row("c", 2, 1, clip_score=0.9)]
    found = outcome(rows, reject="exact")
    assert rejected(found) == {"b": ("duplicate_exact", "a")}
    assert {values["duplicate_cluster"] for values in found.values()} == {"a"}
    assert rejected(outcome(rows, reject="nothing")) == {}


def test_rows_without_an_image_are_never_duplicates() -> None:
    """A missing digest, hash or embedding is equal to nothing."""
    rows = [row("a", None), row("b", None), row("c", None, image_embedding=[0.0, 0.0])]
    found = outcome(rows, semantic=0.5)
    assert rejected(found) == {}
    assert [values["duplicate_cluster"] for values in found.values()] == ["a", "b", "c"]


def test_no_rows() -> None:
    """A part of which no row is left changes nothing, nor does a run of such parts."""
    stage = Dedupe(DedupeConfig(use="dedupe"))
    stage.surveyed = stage.survey(iter([table([]), table([])]))
    assert stage.process(table([])).num_rows == 0
    assert stage.process(table([row("a", 1)]))["duplicate_cluster"].to_pylist() == ["a"]


def test_order_of_the_source_does_not_matter() -> None:
    """Shuffled rows, in parts of another size, give the same clusters and keep the same samples."""
    random = np.random.default_rng(0)
    rows = [
        row(f"s{number:03d}", int(random.integers(90)), int(random.integers(2**16)) << 20,
            clip_score=float(random.integers(3)), original_width=int(random.integers(1, 4)), original_height=1)
        for number in range(200)
    ]
    straight = outcome(rows, near=2)
    shuffled = outcome([rows[place] for place in random.permutation(len(rows))], near=2, part_rows=7)
    assert rejected(straight) == rejected(shuffled)
    assert 20 < len(rejected(straight)) < 190


@pytest.mark.parametrize(
    ("phash", "said"),
    [("xyz", "phash = 'xyz'"), ("00ff", "phash = '00ff'"), ("g" * 16, "phash = 'gggg"), ("+0" * 8, "phash = '")],
)
def test_hash_that_is_none(phash: str, said: str) -> None:
    """A hash that is not 16 hexadecimal digits stops the run with one line."""
    with pytest.raises(FatalError, match=said) as raised:
        outcome([{**row("a", 1), "phash": phash}])
    assert str(raised.value).endswith("must be at least 16 hexadecimal digits")


def test_embeddings_of_two_sizes() -> None:
    """Embeddings of two models in one column stop the run with one line."""
    rows = [row("a", 1, image_embedding=[1.0, 0.0]), row("b", 2, image_embedding=[1.0, 0.0, 0.0])]
    with pytest.raises(FatalError, match="image_embedding: holds embeddings of 2 and of 3 numbers"):
        outcome(rows, part_rows=1, semantic=0.9)


@pytest.mark.parametrize(
    "settings",
    [
        {"exact": False, "near": None}, {"near": -1}, {"near": 13}, {"semantic": 1.5}, {"keep_best": ["size"]},
        {"keep_best": ["score", "score"]}, {"reject": "all"},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    """What compares nothing, or is out of range, is refused with the config."""
    with pytest.raises(ValidationError):
        DedupeConfig.model_validate({"use": "dedupe", **settings})


def test_reads_only_what_it_compares() -> None:
    """Without `semantic` no embedding is needed, and another column can be the score."""
    assert Dedupe(DedupeConfig(use="dedupe")).consumes.names == ["sha256", "phash"]
    stage = Dedupe(DedupeConfig(use="dedupe", near=None, semantic=0.9, embedding="b.image_embedding", score="mine"))
    assert stage.consumes.names == ["sha256", "b.image_embedding", "mine"]
    assert stage.optional.names == ["original_width", "original_height", "width", "height", "license"]
