"""lint: a sound dataset passes, and each sort of damage to a real one is named."""

from __future__ import annotations

import io
import json
import shutil
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Audio, Dataset, Features

from pipeline.export.run import export
from pipeline.lint.problems import Problem, Report
from pipeline.lint.run import lint
from schemas.errors import ConfigError
from stages.dataset.files import write_index, write_shard
from stages.dataset.manifest import MANIFEST, Manifest
from stages.dataset.rows import features
from tests.pipeline.export.finished import mixed, picture, row
from tests.pipeline.runs import PROBES, run_inline, write_config, write_source

FORMATS = ("arrow", "parquet")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return a finished run's dataset in each format, of several shards."""
    made = {}
    for name in FORMATS:
        folder = tmp_path_factory.mktemp(name)
        write_source(folder, [f"{number} " + "a caption " * (20 + number % 7) for number in range(120)] + ["reject"])
        stages = [{"use": f"{PROBES}{stage}"} for stage in ("Picky", "Pictures", "Length", "Talk")]
        shards = {"use": "shards", "splits": {"validation": 0.2}, "max_shard_bytes": 50_000, "format": name}
        run_inline(write_config(folder, [*stages, shards], part_rows=50))
        made[name] = folder / "run" / "dataset"
    return made


@pytest.fixture(params=FORMATS)
def dataset(runs: Mapping[str, Path], request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of it to be damaged."""
    return Path(shutil.copytree(runs[request.param], tmp_path / "dataset"))


def shards_of(folder: Path) -> list[Path]:
    """Return the shards of train."""
    return sorted([*folder.glob("train/*.arrow"), *folder.glob("data/train-*.parquet")])


def errors(report: Report) -> list[tuple[str, str, int | None]]:
    """Return file, check and row of every error."""
    return [(found.file, found.check, found.row) for found in report.problems if found.severity == "error"]


def written(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]], columns: Features | None = None) -> Path:
    """Write rows as ``shards`` does."""
    held, made = columns or features(), {}
    for split, rows in splits.items():
        name, table = f"{split}/data-00000.arrow", pa.Table.from_pylist(list(rows), schema=held.arrow_schema)
        made[split] = [write_shard(folder, name, "arrow", table.schema, [table])]
    write_index(folder, held, made)
    (folder / MANIFEST).write_bytes(Manifest(format="arrow", splits=made).to_json())
    return folder


# --- a sound dataset -------------------------------------------------------------------------------------------------


def test_a_sound_dataset(dataset: Path) -> None:
    """A run's dataset has no errors; missing licences are one warning a shard; everything was read and decoded."""
    assert len(shards_of(dataset)) > 1
    report = lint(str(dataset))
    assert (errors(report), report.sound) == ([], True)
    assert {found.check for found in report.problems} == {"license"}
    assert (report.rows.total(), report.images, report.recordings) == (120, 120, 0)


def test_an_exported_dataset(runs: Mapping[str, Path], tmp_path: Path) -> None:
    """The Parquet export has a manifest too, and is as sound."""
    export(str(runs["arrow"]), "parquet", str(tmp_path / "out"))
    report = lint(str(tmp_path / "out"))
    assert (errors(report), report.rows.total()) == ([], 120)


def test_rows_of_every_sort(tmp_path: Path) -> None:
    """Several pictures, none, long talks and findings are no mistakes; findings are counted."""
    finding = {"type": "count", "turn": 1, "start": 0, "end": 2, "message": "two, not three"}
    rows = mixed()
    rows["train"] = [{**rows["train"][0], "findings": [finding]}, *rows["train"][1:]]
    report = lint(str(written(tmp_path, rows)))
    assert errors(report) == []
    assert report.findings == {"count": 1}


# --- damaged files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.6, 0.999])
def test_one_byte_flipped(dataset: Path, share: float) -> None:
    """Wherever it is, the shard is named, and no other."""
    shard = shards_of(dataset)[1]
    content = bytearray(shard.read_bytes())
    content[int(share * (len(content) - 1))] ^= 0x40
    shard.write_bytes(content)
    report = lint(str(dataset))
    name = shard.relative_to(dataset).as_posix()
    assert (name, "sha256", None) in errors(report)
    assert {file for file, _, _ in errors(report)} <= {name, "README.md"}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_shard_cut_short(dataset: Path, share: float) -> None:
    """The shard is named as cut short."""
    shard = shards_of(dataset)[0]
    content = shard.read_bytes()
    shard.write_bytes(content[: int(share * len(content))])
    found = next(found for found in lint(str(dataset)).problems if found.check == "bytes")
    assert found.file == shard.relative_to(dataset).as_posix()
    assert f"cut short: {int(share * len(content))} bytes, the manifest says {len(content)}" in found.message


def test_a_shard_missing(dataset: Path) -> None:
    """It is named, and the card's numbers are no longer true."""
    shard = shards_of(dataset)[0]
    shard.unlink()
    found = errors(lint(str(dataset)))
    assert (shard.relative_to(dataset).as_posix(), "missing", None) in found
    assert ("README.md", "card", None) in found


def test_a_shard_too_many(dataset: Path) -> None:
    """A shard that nothing names is named."""
    first = shards_of(dataset)[0]
    extra = first.with_name("train-00098-of-00099" + first.suffix)
    shutil.copy(first, extra)
    assert errors(lint(str(dataset))) == [(extra.relative_to(dataset).as_posix(), "extra", None)]


def test_manifest_missing(dataset: Path) -> None:
    """That is the one problem; all shards are still read by the index."""
    (dataset / MANIFEST).unlink()
    report = lint(str(dataset))
    assert (errors(report), report.rows.total()) == ([(MANIFEST, "missing", None)], 120)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b"\xff\xfe"])
def test_manifest_damaged(dataset: Path, content: bytes) -> None:
    """Whatever it has become, it is named."""
    (dataset / MANIFEST).write_bytes(content)
    assert {file for file, _, _ in errors(lint(str(dataset)))} == {MANIFEST}


def test_manifest_that_points_outside(dataset: Path) -> None:
    """A manifest cannot have other people's files read."""
    manifest = json.loads((dataset / MANIFEST).read_text())
    manifest["splits"]["train"][0]["file"] = "../outside.arrow"
    (dataset / MANIFEST).write_text(json.dumps(manifest))
    (dataset.parent / "outside.arrow").write_bytes(b"no shard")
    report = lint(str(dataset))
    assert ("../outside.arrow", "manifest", None) in errors(report)
    assert ("../outside.arrow", "readable", None) not in errors(report)


def test_rows_that_do_not_add_up(dataset: Path) -> None:
    """A manifest with another number of rows than the shard has."""
    manifest = json.loads((dataset / MANIFEST).read_text())
    manifest["splits"]["train"][0]["rows"] += 1
    (dataset / MANIFEST).write_text(json.dumps(manifest))
    assert errors(lint(str(dataset))) == [(manifest["splits"]["train"][0]["file"], "rows", None)]


def test_index_damaged(runs: Mapping[str, Path], tmp_path: Path) -> None:
    """A split's index that is missing or names other shards is a problem; the shards are read all the same."""
    folder = Path(shutil.copytree(runs["arrow"], tmp_path / "dataset"))
    state = folder / "train" / "state.json"
    told = json.loads(state.read_text())
    state.write_text(json.dumps({**told, "_data_files": told["_data_files"][1:]}))
    assert errors(lint(str(folder))) == [("dataset_dict.json", "index", None)]
    state.unlink()
    report = lint(str(folder))
    assert (errors(report), report.rows.total()) == ([("dataset_dict.json", "index", None)], 120)


def test_rejects_damaged(dataset: Path) -> None:
    """rejects.parquet is hashed and read as well."""
    file = dataset / "rejects.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    assert {(file, check) for file, check, _ in errors(lint(str(dataset)))} == {
        ("rejects.parquet", "bytes"), ("rejects.parquet", "readable"),
    }


def test_a_card_with_other_numbers(dataset: Path) -> None:
    """What the card says of conversations, samples and splits is compared."""
    card = dataset / "README.md"
    text = card.read_text()
    card.write_text(text.replace("120 conversations about 120 samples", "120 conversations about 12 samples"))
    assert errors(lint(str(dataset))) == [("README.md", "card", None)]
    train = next(line for line in text.splitlines() if line.startswith("| train | "))
    card.write_text(text.replace(train, "| train | 7 | 7 |"))
    assert errors(lint(str(dataset))) == [("README.md", "card", None)]


# --- rows ------------------------------------------------------------------------------------------------------------


def talk(*turns: tuple[str, str | None]) -> dict[str, Any]:
    """Return messages."""
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


BAD_ROWS: Mapping[str, tuple[dict[str, Any], str]] = {
    "assistant first": (talk(("assistant", "a"), ("user", "b")), "messages"),
    "user twice": (talk(("user", "a"), ("user", "b")), "messages"),
    "no answer": (talk(("user", "a"), ("assistant", "b"), ("user", "c")), "messages"),
    "system": (talk(("system", "a"), ("user", "b"), ("assistant", "c")), "messages"),
    "no messages": (talk(), "messages"),
    "blank": (talk(("user", "a"), ("assistant", " \n")), "messages"),
    "null": (talk(("user", None), ("assistant", "b")), "messages"),
    "no id": ({"id": ""}, "id"),
    "box outside": ({"boxes": [{"label": "a", "box": [0.0, 0.0, 1.2, 1.0]}]}, "boxes"),
    "box inside out": ({"boxes": [{"label": "a", "box": [0.5, 0.0, 0.2, 1.0]}]}, "boxes"),
    "box of three": ({"boxes": [{"label": "a", "box": [0.5, 0.0, 0.7]}]}, "boxes"),
    "finding": ({"findings": [{"type": "a", "turn": 9, "start": 0, "end": 1, "message": "b"}]}, "findings"),
    "empty image": ({"images": [{"bytes": b"", "path": None}]}, "images"),
    "no image": ({"images": [{"bytes": b"<html>no such page</html>", "path": None}]}, "images"),
    "half an image": ({"images": [{"bytes": picture(1, "png", 64)[:2000], "path": None}]}, "images"),
}


def test_bad_rows(tmp_path: Path) -> None:
    """Each is named by file, row and what is wrong with it."""
    rows = [{**row(number), **change} for number, (change, _) in enumerate(BAD_ROWS.values(), 1)]
    report = lint(str(written(tmp_path, {"train": [row(0), *rows]})))
    found = {(number, check) for file, check, number in errors(report) if file == "train/data-00000.arrow"}
    assert found == {(number, check) for number, (_, check) in enumerate(BAD_ROWS.values(), 1)}


def test_splits_that_overlap(tmp_path: Path) -> None:
    """A sample, or near-duplicates, in two splits; and a conversation that is there twice."""
    clustered = [{**row(number), "duplicate_cluster": "c"} for number in (2, 3, 4)]
    report = lint(str(written(tmp_path, {
        "train": [row(0), row(1), clustered[0], clustered[1], row(1)],
        "validation": [row(9), {**row(0), "kind": "detail"}, clustered[2]],
    })))
    assert set(errors(report)) == {
        ("train/data-00000.arrow", "unique", 4),
        ("validation/data-00000.arrow", "sample_in_two_splits", 1),
        ("validation/data-00000.arrow", "cluster_in_two_splits", 2),
    }


def test_other_columns(tmp_path: Path) -> None:
    """A shard whose columns are others is named with them."""
    folder = written(tmp_path / "one", {"train": [row(0)]})
    Dataset.from_dict({"id": ["a"], "clip_score": [1]}).save_to_disk(str(tmp_path / "two"))
    shutil.copy(tmp_path / "two" / "data-00000-of-00001.arrow", folder / "train" / "data-00000.arrow")
    schema = [str(found) for found in lint(str(folder)).problems if found.check == "schema"]
    assert "train/data-00000.arrow: schema: has no column messages" in schema
    assert any("clip_score is Value('int64'), not Value('float32')" in line for line in schema)


def sound(samples: int) -> bytes:
    """Return a recording."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(np.zeros(samples, "<i2").tobytes())
    return file.getvalue()


def test_recordings(tmp_path: Path) -> None:
    """Columns beside ours may hold recordings; each is decoded to its end."""
    whole = sound(16_000)
    recordings = [{"bytes": whole, "path": None}, {"bytes": whole[:9_000], "path": None}]
    rows = [{**row(number), "audio": recording} for number, recording in enumerate(recordings)]
    report = lint(str(written(tmp_path, {"train": rows}, Features({**features(), "audio": Audio()}))))
    assert report.recordings == 2
    assert [found for found in errors(report) if found[1] == "audio"] == [("train/data-00000.arrow", "audio", 1)]


# --- what it says ----------------------------------------------------------------------------------------------------


def test_a_problem_is_one_line() -> None:
    """No text of the dataset can break the line or reach the terminal's controls."""
    assert str(Problem("a\nb", "check", "x\x1b[2Jy", 3)) == "a b: row 3: check: x [2Jy"


def test_progress(runs: Mapping[str, Path]) -> None:
    """Rows read of all rows are told."""
    told: list[tuple[int, int]] = []
    lint(str(runs["arrow"]), lambda done, rows: told.append((done, rows)))
    assert told[-1] == (120, 120)


@pytest.mark.parametrize("place", ["nowhere", "empty", "file", "run"])
def test_wrong_paths(tmp_path: Path, place: str) -> None:
    """A folder without a dataset is the command line's mistake."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / "dataset").mkdir(parents=True)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="DATASET_DIR"):
        lint(str(tmp_path / place))
