"""export --format parquet: the hub's layout, which datasets streams."""

from __future__ import annotations

from pathlib import Path

import mlcroissant
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Features, load_dataset, load_from_disk

from pipeline.export.run import export
from stages.dataset.rows import features
from tests.pipeline.export.finished import mixed, row, saved
from tests.pipeline.runs import PROBES, run_inline, tree, write_config, write_source


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache of the library from elsewhere answers."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def front_matter(readme: Path) -> dict[str, object]:
    """Return a card's YAML."""
    data: dict[str, object] = yaml.safe_load(readme.read_text().split("---\n")[1])
    return data


def test_datasets_streams_every_row(dataset: Path, tmp_path: Path) -> None:
    """load_dataset(DIR, streaming=True) gives every split, row and feature as load_from_disk does."""
    export(str(dataset), "parquet", str(tmp_path / "out"), max_shard_bytes=20_000)
    streamed = load_dataset(str(tmp_path / "out"), streaming=True)
    saved_rows = load_from_disk(str(dataset))
    assert list(streamed) == ["train", "validation"]
    for split in streamed:
        assert streamed[split].features == saved_rows[split].features == Features(features())
        for one, other in zip(streamed[split], saved_rows[split], strict=True):
            images = zip(one.pop("images"), other.pop("images"), strict=True)
            assert all(image.tobytes() == original.tobytes() for image, original in images)
            assert one == other


def test_names_are_the_hubs(dataset: Path, tmp_path: Path) -> None:
    """data/<split>-<shard>-of-<shards>.parquet, with a page index, row groups of at most 100 rows, and configs."""
    export(str(dataset), "parquet", str(tmp_path / "out"), max_shard_bytes=20_000)
    files = sorted((tmp_path / "out" / "data").iterdir())
    train = [file for file in files if file.name.startswith("train")]
    assert [file.name for file in train] == [f"train-{n:05d}-of-{len(train):05d}.parquet" for n in range(len(train))]
    assert len(train) > 1
    for file in files:
        metadata = pq.read_metadata(file)
        for group in range(metadata.num_row_groups):
            assert metadata.row_group(group).num_rows <= 115
            assert all(metadata.row_group(group).column(n).has_offset_index for n in range(metadata.num_columns))
    assert front_matter(tmp_path / "out" / "README.md") == {"configs": [{"config_name": "default", "data_files": [
        {"split": "train", "path": "data/train-*.parquet"},
        {"split": "validation", "path": "data/validation-*.parquet"},
    ]}]}


def test_a_run_with_its_card(tmp_path: Path) -> None:
    """A run's card goes along with its pictures and rejects; only how it is loaded is told anew."""
    stages = [{"use": f"{PROBES}{name}"} for name in ("Picky", "Pictures", "Length", "Talk")]
    write_source(tmp_path, ["a" * (number % 7 + 1) for number in range(40)] + ["reject"])
    run_inline(write_config(tmp_path, [*stages, {"use": "shards", "splits": {"validation": 0.2}}], part_rows=25))
    dataset, out = tmp_path / "run" / "dataset", tmp_path / "out"
    export(str(dataset), "parquet", str(out))
    before, after = tree(dataset), tree(out)
    beside = {name for name in before if name.endswith((".png", "rejects.parquet"))}
    assert {"rejects.parquet", "examples/0.png"} <= beside
    assert {name: after[name] for name in beside} == {name: before[name] for name in beside}
    ours, theirs = front_matter(out / "README.md"), front_matter(dataset / "README.md")
    assert ours == {**theirs, "configs": ours["configs"]}
    text, original = ((folder / "README.md").read_text().split("---\n", 2)[2] for folder in (out, dataset))
    assert "load_from_disk" in original
    assert "load_from_disk" not in text
    assert 'load_dataset("."' in text
    assert text.split("```", 2)[2].strip() == original.split("```", 2)[2].strip()
    streamed = load_dataset(str(out), streaming=True)
    assert sum(1 for split in streamed.values() for _ in split) == 40


def test_croissant_loads_the_rows(tmp_path: Path) -> None:
    """mlcroissant finds every row of each split, with its picture decoded, through `croissant.json`."""
    stages = [{"use": f"{PROBES}{name}"} for name in ("Picky", "Pictures", "Length", "Talk")]
    write_source(tmp_path, ["a" * (number % 7 + 1) for number in range(30)] + ["reject"])
    run_inline(write_config(tmp_path, [*stages, {"use": "shards", "splits": {"validation": 0.2}}]))
    dataset, out = tmp_path / "run" / "dataset", tmp_path / "out"
    export(str(dataset), "parquet", str(out))
    described = mlcroissant.Dataset(str(out / "croissant.json"))
    assert not described.metadata.ctx.issues.errors
    for split, rows in load_from_disk(str(dataset)).items():
        records = list(described.records(split))
        assert [record[f"{split}/id"].decode() for record in records] == rows["id"]
        assert [record[f"{split}/images"][0].size for record in records] == [row["images"][0].size for row in rows]
        words = [[turn[f"{split}/messages/content"].decode() for turn in record[f"{split}/messages"]]
                 for record in records]
        assert words == [[turn["content"] for turn in row["messages"]] for row in rows]
    assert [record["rejects/id"] for record in described.records("rejects")] == [b"s30"]


def test_a_split_without_rows_stays(tmp_path: Path) -> None:
    """It has one shard without rows, so that its name is not lost."""
    export(str(saved(tmp_path / "in", {"train": [row(0)], "validation": []})), "parquet", str(tmp_path / "out"))
    loaded = load_dataset(str(tmp_path / "out"), streaming=True)
    assert {name: sum(1 for _ in split) for name, split in loaded.items()} == {"train": 1, "validation": 0}


def test_parquet_is_a_dataset_again(dataset: Path, tmp_path: Path) -> None:
    """What was exported as Parquet can be exported in every other format, with the same result."""
    export(str(dataset), "parquet", str(tmp_path / "parquet"), max_shard_bytes=20_000)
    for source, to in ((dataset, "one"), (tmp_path / "parquet", "two")):
        export(str(source), "llava", str(tmp_path / to))
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert {**one, "export.json": b""} == {**two, "export.json": b""}
    assert len(mixed()["train"]) == pq.read_table(tmp_path / "parquet" / "data", columns=["id"]).num_rows - 5
