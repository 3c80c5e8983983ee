"""export --format webdataset: shards for the webdataset library and for Megatron-Energon."""

from __future__ import annotations

import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
import yaml

from pipeline.export.run import export
from tests.pipeline.export.finished import mixed, row, saved, told


def exported(dataset: Path, to: Path) -> tuple[Path, dict[str, list[str]]]:
    """Export in small shards; return the folder and the shards of each of Energon's splits."""
    export(str(dataset), "webdataset", str(to), max_shard_bytes=30_000)
    return to, yaml.safe_load((to / ".nv-meta" / "split.yaml").read_text())["split_parts"]


def read_shards(folder: Path, shards: list[str]) -> list[dict[str, Any]]:
    """Read shards with the webdataset library."""
    urls = [str(folder / shard) for shard in shards]
    return list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))


def test_webdataset_reads_every_row(dataset: Path, tmp_path: Path) -> None:
    """The library gives each row once and in order: its pictures byte for byte, and everything else as JSON."""
    folder, splits = exported(dataset, tmp_path / "out")
    assert len(splits["train"]) > 2
    for ours, theirs in (("train", "train"), ("validation", "val")):
        samples = read_shards(folder, splits[theirs])
        for sample, expected in zip(samples, mixed()[ours], strict=True):
            told_of = json.loads(sample["json"])
            assert [(turn["role"], turn["content"]) for turn in told_of["messages"]] == told(expected["messages"])
            for column in ("id", "kind", "captions", "boxes", "license", "url", "clip_score", "provenance"):
                assert told_of[column] == expected[column]
            media = [sample[key] for key in sorted(sample) if not key.startswith("__") and key != "json"]
            assert media == [image["bytes"] for image in expected["images"]]


def test_names_tell_the_type(dataset: Path, tmp_path: Path) -> None:
    """One picture is `.jpg`, `.png`; several are numbered; a key is used once in the whole dataset."""
    folder, splits = exported(dataset, tmp_path / "out")
    names = []
    for shard in (shard for shards in splits.values() for shard in shards):
        with tarfile.open(folder / shard) as tar:
            names += tar.getnames()
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("train-000000007.")] == [
        "train-000000007.json", "train-000000007.0.jpg", "train-000000007.1.webp",
    ]
    assert "train-000000003.png" in names


def test_energon_metadata(dataset: Path, tmp_path: Path) -> None:
    """Counts and offsets are those of the shards: what `energon prepare` 7.4.1 writes for the same files."""
    folder, splits = exported(dataset, tmp_path / "out")
    info = json.loads((folder / ".nv-meta" / ".info.json").read_text())
    assert info == yaml.safe_load((folder / ".nv-meta" / ".info.yaml").read_text())
    assert info["energon_version"] == "7.4.1"
    assert list(info["shard_counts"]) == [shard for shards in splits.values() for shard in shards]
    assert sum(info["shard_counts"].values()) == sum(len(rows) for rows in mixed().values())
    for shard, count in info["shard_counts"].items():
        index = (folder / f"{shard}.idx").read_bytes()
        offsets = struct.unpack(f"<{count + 1}Q", index)
        with tarfile.open(folder / shard) as tar:
            assert [entry.offset for entry in tar if entry.name.endswith(".json")] == list(offsets[:-1])
            assert tar.offset == offsets[-1]
    assert yaml.safe_load((folder / ".nv-meta" / "dataset.yaml").read_text()) == {
        "__module__": "megatron.energon", "__class__": "CrudeWebdataset",
    }


def test_energon_reads_every_row(dataset: Path, tmp_path: Path) -> None:
    """Energon's own loader gives each row of a split, where it is installed."""
    energon = pytest.importorskip("megatron.energon", reason="megatron-energon is not installed")
    folder, _ = exported(dataset, tmp_path / "out")
    crude = energon.get_train_dataset(
        str(folder), split_part="train", batch_size=1, task_encoder=Taken(energon).encoder, repeat=False,
        worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=0), shuffle_buffer_size=None,
        max_samples_per_sequence=None,
    )
    ids = [sample for batch in energon.get_loader(crude) for sample in batch]
    assert sorted(ids) == sorted(expected["id"] for expected in mixed()["train"])


class Taken:
    """An Energon task that takes each crude sample's id."""

    def __init__(self, energon: Any) -> None:
        @energon.edataclass
        class Named(energon.Sample):  # type: ignore[misc,name-defined]
            name: str

        @energon.stateless
        def cook(sample: dict[str, Any]) -> Named:
            return Named(**energon.basic_sample_keys(sample), name=sample["json"]["id"])

        class Encoder(energon.DefaultTaskEncoder):  # type: ignore[misc,name-defined]
            cookers = [energon.Cooker(cook)]

            @energon.stateless
            def batch(self, samples: list[Any]) -> list[str]:
                return [sample.name for sample in samples]

        self.encoder = Encoder()


def test_a_split_without_rows_has_no_shard(tmp_path: Path) -> None:
    """Loaders refuse empty shards."""
    folder, splits = exported(saved(tmp_path / "in", {"train": [row(0)], "validation": []}), tmp_path / "out")
    assert splits == {"train": ["train-000000.tar"]}
    assert sorted(file.name for file in folder.glob("*.tar*")) == ["train-000000.tar", "train-000000.tar.idx"]


def test_shards_hold_less_than_ten_thousand(tmp_path: Path) -> None:
    """However small the samples."""
    rows = [row(number, []) for number in range(10_100)]
    export(str(saved(tmp_path / "in", {"train": rows})), "webdataset", str(tmp_path / "out"))
    counts = json.loads((tmp_path / "out" / ".nv-meta" / ".info.json").read_text())["shard_counts"]
    assert len(counts) == 2
    assert all(count < 10_000 for count in counts.values())
