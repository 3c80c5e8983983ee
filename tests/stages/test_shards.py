"""shards: the dataset anybody can open, its splits, its rejects, and that nothing half-written is ever left."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import DatasetDict, Features, Image, List, Value, load_dataset, load_from_disk
from PIL import Image as Pictures
from pydantic import ValidationError

from pipeline.config import load_config
from pipeline.execute import Result, execute
from pipeline.inline_runner import InlineRunner
from pipeline.lint.run import lint
from pipeline.plan import make_plan
from schemas.columns import CONVERSATIONS
from schemas.errors import ConfigError, FatalError
from stages.dataset.manifest import read_manifest
from stages.dataset.reading import open_dataset, read_batches
from stages.shards import Shards, ShardsConfig
from tests.pipeline.runs import PROBES, Quiet, run_inline, tree, without_cost, write_config

STAGES = [{"use": f"{PROBES}Picky"}, {"use": f"{PROBES}Pictures"}, {"use": f"{PROBES}Length"}, {"use": f"{PROBES}Talk"}]
DOG = {"label": "dog", "box": [0.0, 0.25, 0.5, 1.0]}


def sample(number: int, caption: str = "", **more: Any) -> dict[str, Any]:
    """Return a source row."""
    return {"id": f"s{number}", "captions": [caption or "a" * (number + 1)], **more}


def configured(
    folder: Path, rows: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]] = STAGES, **shards: Any
) -> Path:
    """Write a source and a config whose last stage is ``shards``."""
    folder.mkdir(exist_ok=True)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return write_config(folder, [*stages, {"use": "shards", **shards}], part_rows=25)


def made(folder: Path, rows: Sequence[Mapping[str, Any]], **shards: Any) -> tuple[DatasetDict, Result]:
    """Run a config and open its dataset as anybody would."""
    result, _ = run_inline(configured(folder, rows, **shards))
    return load_from_disk(str(folder / "run" / "dataset")), result


def rows_of(dataset: DatasetDict) -> dict[str, dict[str, Any]]:
    """Return the rows of all splits by sample, for datasets with one row a sample."""
    return {row["id"]: row for split in dataset.values() for row in split}


def splits_of(ids: Sequence[str], *, seed: int = 0, **splits: float) -> dict[str, str]:
    """Return the split of each sample."""
    stage = Shards(ShardsConfig(use="shards", splits=splits))
    stage.seed = seed
    talk = [[{"kind": "x", "messages": [], "provenance": "x"}]] * len(ids)
    batch = pa.table({"id": list(ids), "talk": pa.array(talk, CONVERSATIONS)})
    return dict(zip(ids, stage.process(batch)["split"].to_pylist(), strict=True))


def test_anybody_can_open_it(tmp_path: Path) -> None:
    """load_from_disk gives every row with its picture, words and numbers; what is unknown is null."""
    dataset, _ = made(tmp_path, [
        sample(0, "abc", boxes=[DOG], license="CC0", image_url="http://x/1.png"),
        sample(1, "ab", boxes=[], audio_url="http://x/1.wav"),
        sample(2, "a" * 40),
    ])
    assert isinstance(dataset, DatasetDict)
    rows = rows_of(dataset)
    assert rows["s0"] | {"images": None} == {
        "id": "s0", "kind": "length", "images": None,
        "messages": [
            {"role": "user", "content": "How long is it?"}, {"role": "assistant", "content": "3 letters."},
        ],
        "captions": ["abc"], "boxes": [DOG], "transcript": "abc", "license": "CC0", "url": "http://x/1.png",
        "clip_score": pytest.approx(0.03), "provenance": "talk", "duplicate_cluster": None, "findings": None,
    }
    (picture,) = rows["s0"]["images"]
    assert isinstance(picture, Pictures.Image)
    assert picture.size == (3, 3)
    assert (rows["s1"]["boxes"], rows["s1"]["url"], rows["s1"]["transcript"]) == ([], "http://x/1.wav", None)
    assert (rows["s2"]["boxes"], rows["s2"]["url"], rows["s2"]["license"]) == (None, None, None)


def test_features(tmp_path: Path) -> None:
    """The columns and their types are the public contract, in every split, full or empty."""
    dataset, _ = made(tmp_path, [sample(0)], splits={"validation": 0.01, "test": 0.01})
    assert list(dataset) == ["train", "validation", "test"]
    for split in dataset.values():
        assert split.features == Features({
            "id": Value("string"),
            "kind": Value("string"),
            "images": List(Image()),
            "messages": List({"role": Value("string"), "content": Value("string")}),
            "captions": List(Value("string")),
            "boxes": List({"label": Value("string"), "box": List(Value("float64"))}),
            "transcript": Value("string"),
            "license": Value("string"),
            "url": Value("string"),
            "clip_score": Value("float32"),
            "provenance": Value("string"),
            "duplicate_cluster": Value("string"),
            "findings": List(
                {
                    "type": Value("string"), "turn": Value("int32"), "start": Value("int32"), "end": Value("int32"),
                    "message": Value("string"),
                }
            ),
        })


def test_one_row_a_conversation_in_one_split(tmp_path: Path) -> None:
    """All conversations of a sample, from whatever column, stay together and in order."""
    talk = [
        {"kind": kind, "messages": [{"role": "user", "content": kind}, {"role": "assistant", "content": "yes"}]}
        for kind in ("first", "second")
    ]
    rows = [sample(number, source_conversations=talk) for number in range(30)]
    dataset, result = made(tmp_path, rows, splits={"validation": 0.5})
    found = {name: [(row["id"], row["kind"]) for row in split] for name, split in dataset.items()}
    everything = [pair for pairs in found.values() for pair in pairs]
    assert sorted(everything) == sorted((row["id"], kind) for row in rows for kind in ("first", "second", "length"))
    assert not {row_id for row_id, _ in found["train"]} & {row_id for row_id, _ in found["validation"]}
    assert [kind for _, kind in found["train"]] == ["first", "second", "length"] * (len(found["train"]) // 3)
    summary = result.sinks["shards"]
    assert summary["train rows"] + summary["validation rows"] == 90
    assert (summary["samples"], summary["rejected"]) == (30, 0)


def test_split_shares() -> None:
    """Each split gets about its share of the samples, the rest is train."""
    drawn = Counter(splits_of([f"sample-{number}" for number in range(5000)], validation=0.05, test=0.2).values())
    assert set(drawn) == {"train", "validation", "test"}
    assert drawn["validation"] / 5000 == pytest.approx(0.05, abs=0.01)
    assert drawn["test"] / 5000 == pytest.approx(0.2, abs=0.02)


def test_every_kind_has_its_share_in_every_split() -> None:
    """Kinds of many samples and of few, next to one another or spread out, are split alike, within chance."""
    ids = [f"sample-{number}" for number in range(6000)]
    drawn = splits_of(ids, validation=0.2)
    for kind in (ids[:4000], ids[4000:5900:2], ids[5900:]):
        held_out = sum(drawn[row_id] == "validation" for row_id in kind)
        assert held_out == pytest.approx(0.2 * len(kind), abs=4 * (0.2 * 0.8 * len(kind)) ** 0.5)


def test_a_sample_keeps_its_split() -> None:
    """Whatever other samples come, go or change places, a sample stays where it is; another seed draws anew."""
    ids = [f"sample-{number}" for number in range(300)]
    before = splits_of(ids, validation=0.3)
    after = splits_of([*reversed(ids[::2]), *(f"new-{number}" for number in range(100))], validation=0.3)
    assert {row_id: after[row_id] for row_id in ids[::2]} == {row_id: before[row_id] for row_id in ids[::2]}
    assert splits_of(ids, seed=1, validation=0.3) != before


def test_duplicates_share_a_split(tmp_path: Path) -> None:
    """Near-duplicates that were not rejected come into one split, and stay in it when others join them; `lint` finds
    none in two, as it would had they been drawn by sample."""
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(20)]
    rows = []
    for number in range(60):
        image = Pictures.fromarray(pictures[number % 20]).resize((64 + number, 64), Pictures.Resampling.BICUBIC)
        image.save(tmp_path / f"{number}.png")
        rows.append(sample(number, image=f"{number}.png"))
    stages = [{"use": "download", "decode_timeout_s": 600}, {"use": "dedupe", "reject": "nothing"}, *STAGES[2:]]

    def splits(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        result, _ = run_inline(configured(tmp_path, rows, stages, splits={"validation": 0.4, "test": 0.2}))
        assert [row for part in result.view.parts() for row in result.view.rejects(part).to_pylist()] == []
        tables = [result.view.table(part, ["id", "split"]) for part in result.view.parts()]
        return dict(pa.concat_tables(tables).select(["id", "split"]).to_pandas().itertuples(index=False))

    few, all_of_them = splits(rows[:40]), splits(rows)
    assert all(all_of_them[f"s{number}"] == all_of_them[f"s{number % 20}"] for number in range(60))
    assert set(all_of_them.values()) == {"train", "validation", "test"}
    assert {row_id: all_of_them[row_id] for row_id in few} == few
    assert {problem.check for problem in lint(str(tmp_path / "run" / "dataset")).problems} == {"license"}
    drawn_by_sample = splits_of(list(all_of_them), validation=0.4, test=0.2)
    assert any(drawn_by_sample[f"s{number}"] != drawn_by_sample[f"s{number % 20}"] for number in range(60))


@pytest.mark.parametrize(
    "splits", [{"train": 0.1}, {"a": 0.6, "b": 0.4}, {"a": 0}, {"a": 1}, {"a/b": 0.1}, {"..": 0.1}, {"": 0.1}]
)
def test_splits_that_cannot_be(splits: dict[str, float]) -> None:
    """A split needs a plain name, a share between 0 and 1, and must leave something for train."""
    with pytest.raises(ValidationError):
        ShardsConfig(use="shards", splits=splits)


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
@pytest.mark.parametrize("max_shard_bytes", [80_000, 150_000])
def test_shard_size(tmp_path: Path, format_: str, max_shard_bytes: int) -> None:
    """No shard is longer than allowed, Arrow's are short of it by 5% or a row; they hold every row in order."""
    rows = [sample(number, f"{number} " + "a caption " * (20 + number % 7)) for number in range(300)]
    run_inline(configured(tmp_path, rows, splits={}, max_shard_bytes=max_shard_bytes, format=format_))
    folder = tmp_path / "run" / "dataset"
    shards = read_manifest(folder).splits["train"]
    files = [folder / shard.file for shard in shards]
    assert len(files) > 1
    assert [file.stat().st_size for file in files] == [shard.bytes for shard in shards]
    assert all(shard.bytes <= max_shard_bytes for shard in shards)
    tables = [pa.Table.from_batches(read_batches(file)) for file in files]
    assert [table.num_rows for table in tables] == [shard.rows for shard in shards]
    assert [row_id for table in tables for row_id in table["id"].to_pylist()] == [row["id"] for row in rows]
    if format_ == "arrow":
        for shard, following in zip(shards, tables[1:], strict=False):
            (next_row,) = following.slice(0, 1).to_batches()
            assert shard.bytes + pa.ipc.get_record_batch_size(next_row) > 0.95 * max_shard_bytes


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_a_row_longer_than_a_shard(tmp_path: Path, format_: str) -> None:
    """A row that is too long for any shard has one for itself; none is empty."""
    rows = [sample(number, "a" * 20) for number in range(7)]
    run_inline(configured(tmp_path, rows, splits={}, max_shard_bytes=1, format=format_))
    shards = read_manifest(tmp_path / "run" / "dataset").splits["train"]
    assert [shard.rows for shard in shards] == [1] * 7


def test_shuffle(tmp_path: Path) -> None:
    """The seed decides the order of a split's rows; no row is lost, and none changes its split."""
    rows = [sample(number) for number in range(60)]
    orders = {}
    for name, settings in (("source", {}), ("shuffled", {"shuffle": True}), ("again", {"shuffle": True})):
        dataset, _ = made(tmp_path / name, rows, splits={"validation": 0.3}, **settings)
        orders[name] = {split: dataset[split]["id"][:] for split in dataset}
    run_inline(tmp_path / "again" / "config.yaml", "seed=1")
    other = load_from_disk(str(tmp_path / "again" / "run" / "dataset"))
    assert orders["again"] == orders["shuffled"]
    for split, order in orders["shuffled"].items():
        assert order != orders["source"][split]
        assert sorted(order) == sorted(orders["source"][split])
    assert other["train"]["id"][:] != orders["shuffled"]["train"]


def test_manifest(tmp_path: Path) -> None:
    """It gives rows, bytes and hash of every shard of every split, empty ones too, and of the rejects."""
    made(tmp_path, [sample(0), sample(1, "reject"), sample(2)], splits={"validation": 0.01})
    folder = tmp_path / "run" / "dataset"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == "arrow"
    shards = {name: [(shard["file"], shard["rows"]) for shard in split] for name, split in manifest["splits"].items()}
    assert shards == {"train": [("train/data-00000.arrow", 2)], "validation": [("validation/data-00000.arrow", 0)]}
    assert (manifest["rejects"]["file"], manifest["rejects"]["rows"]) == ("rejects.parquet", 1)
    for file in read_manifest(folder).files:
        content = (folder / file.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)


def test_parquet_holds_what_arrow_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's layout: load_dataset streams it, the features come with it, its rows are those of the Arrow form."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [sample(number, boxes=[DOG], license="CC0") for number in range(250)]
    arrow, _ = made(tmp_path / "one", rows, splits={"validation": 0.2})
    run_inline(configured(tmp_path / "two", rows, splits={"validation": 0.2}, format="parquet"))
    folder = tmp_path / "two" / "run" / "dataset"
    assert sorted(file.name for file in (folder / "data").iterdir()) == [
        "train-00000-of-00001.parquet", "validation-00000-of-00001.parquet",
    ]
    metadata = pq.read_metadata(folder / "data" / "train-00000-of-00001.parquet")
    assert metadata.num_row_groups == -(-metadata.num_rows // 100)
    assert metadata.row_group(0).column(0).has_offset_index
    assert 'load_dataset(".", streaming=True)' in (folder / "README.md").read_text()
    streamed = load_dataset(str(folder), streaming=True)
    assert list(streamed) == ["train", "validation"]
    for name, split in streamed.items():
        assert split.features == arrow[name].features
        for one, other in zip(split, arrow[name], strict=True):
            pairs = zip(one.pop("images"), other.pop("images"), strict=True)
            assert all(image.tobytes() == original.tobytes() for image, original in pairs)
            assert one == other


def test_one_shard_where_it_fits(tmp_path: Path) -> None:
    """A dataset below the shard size is one file a split."""
    made(tmp_path, [sample(number) for number in range(5)], splits={})
    assert [path.name for path in sorted((tmp_path / "run/dataset/train").iterdir())] == [
        "data-00000.arrow", "dataset_info.json", "state.json",
    ]


def test_rejects_are_complete(tmp_path: Path) -> None:
    """Every row that is not in the dataset is in rejects.parquet, once, with stage, reason and detail, in order."""
    rows = [
        sample(0), sample(1, "reject", image_url="http://x/1.png"), sample(2, "raise", audio_url="http://x/2.wav"),
        sample(3, boxes=5), sample(4), sample(4), sample(6, "reject"),
    ]
    dataset, result = made(tmp_path, rows)
    rejects = pq.read_table(tmp_path / "run" / "dataset" / "rejects.parquet")
    assert rejects.column_names == ["id", "url", "stage", "reason", "detail"]
    assert [tuple(row.values())[:4] for row in rejects.to_pylist()] == [
        ("s1", "http://x/1.png", "picky", "unwanted"),
        ("s2", "http://x/2.wav", "picky", "error"),
        ("s3", None, "source", "bad_row"),
        ("s4#5", None, "source", "duplicate_id"),
        ("s6", None, "picky", "unwanted"),
    ]
    assert all(rejects["detail"].to_pylist())
    assert sorted([*rows_of(dataset), *rejects["id"].to_pylist()]) == ["s0", "s1", "s2", "s3", "s4", "s4#5", "s6"]
    counted = Counter(zip(rejects["stage"].to_pylist(), rejects["reason"].to_pylist(), strict=True))
    reports = result.view.reports()
    assert counted == {
        (stage, reason): count for stage, report in reports.items() for reason, count in report.rejected.items()
    }


def test_no_conversation(tmp_path: Path) -> None:
    """A sample nobody has said anything about is rejected, not given an empty row."""
    talk = [{"kind": "x", "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}]
    rows = [sample(0, source_conversations=talk), sample(1), sample(2, source_conversations=[])]
    dataset, result = made(tmp_path, rows, stages=[])
    assert list(rows_of(dataset)) == ["s0"]
    assert rows_of(dataset)["s0"]["images"] == []
    assert rows_of(dataset)["s0"]["provenance"] == "source"
    assert result.view.reports()["shards"].rejected == {"no_conversation": 2}


def test_nothing_left(tmp_path: Path) -> None:
    """A run that rejects every row ends with a dataset of no rows that still opens."""
    dataset, _ = made(tmp_path, [sample(0, "reject")])
    assert {name: len(split) for name, split in dataset.items()} == {"train": 0, "validation": 0}
    assert "0 conversations about 0 samples" in (tmp_path / "run/dataset/README.md").read_text()


def test_same_run_same_bytes(tmp_path: Path) -> None:
    """Two runs of one config give every file of the dataset, byte for byte, the card too up to its seconds."""
    trees = []
    for name in ("one", "two"):
        made(tmp_path / name, [sample(number, boxes=[DOG]) for number in range(12)])
        trees.append(without_cost(tree(tmp_path / name / "run" / "dataset")))
    assert trees[0] == trees[1]
    assert {"README.md", "clip_scores.png", "examples/0.png", "rejects.parquet"} <= set(trees[0])


def test_fingerprint_follows_the_data(tmp_path: Path) -> None:
    """What datasets keys its caches by is equal for equal data and another for other data."""
    one, _ = made(tmp_path / "one", [sample(0), sample(1)], splits={})
    same, _ = made(tmp_path / "same", [sample(0), sample(1)], splits={})
    other, _ = made(tmp_path / "other", [sample(0), sample(2)], splits={})
    assert one["train"]._fingerprint == same["train"]._fingerprint != other["train"]._fingerprint


def test_nothing_changed_nothing_written(tmp_path: Path) -> None:
    """A second run leaves the dataset as it is; a changed one replaces it whole."""
    rows = [sample(number) for number in range(4)]
    made(tmp_path, rows)
    card = tmp_path / "run" / "dataset" / "README.md"
    before = card.stat().st_mtime_ns
    made(tmp_path, rows)
    assert card.stat().st_mtime_ns == before
    (tmp_path / "run" / "dataset" / "left-over").touch()
    dataset, _ = made(tmp_path, rows[:2])
    assert sorted(rows_of(dataset)) == ["s0", "s1"]
    assert not (tmp_path / "run" / "dataset" / "left-over").exists()


# --- planted trouble -------------------------------------------------------------------------------------------------


def planted(folder: Path, *lines: Any) -> str:
    """Write a truth file."""
    (folder / "truth.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return "truth.jsonl"


def test_truth(tmp_path: Path) -> None:
    """The card says how much of each planted trouble was rejected, and what else the reasons hit."""
    truth = planted(
        tmp_path, {"id": "s0", "trouble": None}, {"id": "s1", "trouble": "spam"}, {"id": "s2", "trouble": "spam"},
        {"id": "s3", "trouble": None}, {"id": "s4", "trouble": "noise"},
    )
    rows = [sample(0), sample(1, "reject"), sample(2, "fine"), sample(3, "reject"), sample(4, "raise")]
    _, result = made(tmp_path, rows, truth=truth)
    assert result.sinks["shards"]["table"] == [
        ["planted trouble", "rows", "rejected", "recall", "by (precision of that reason)"],
        ["noise", "1", "1", "1.00", "picky: error 1 (1.00)"],
        ["spam", "2", "1", "0.50", "picky: unwanted 1 (0.50)"],
        ["sound", "2", "1", "", "picky: unwanted 1 (0.50)"],
    ]
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "| spam | 2 | 1 | 0.50 | picky: unwanted 1 (0.50) |" in card


def test_changed_truth_changes_the_card(tmp_path: Path) -> None:
    """A corrected truth file is in the card of the next run."""
    rows = [sample(0), sample(1, "reject")]
    made(tmp_path, rows, truth=planted(tmp_path, {"id": "s1", "trouble": "spam"}))
    made(tmp_path, rows, truth=planted(tmp_path, {"id": "s1", "trouble": "noise"}))
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "noise" in card
    assert "spam" not in card


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"id": "a", "trouble": null}\n{broken\n', "line 2"), ('{"id": "a"}\n', "line 1"), ("[]\n", "line 1")],
)
def test_broken_truth_is_found_at_once(tmp_path: Path, text: str, said: str) -> None:
    """A truth file that is none is a mistake in the config, found before any work."""
    config = configured(tmp_path, [sample(0)], truth="truth.jsonl")
    (tmp_path / "truth.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=rf"stages\[4\]\.truth = 'truth\.jsonl': {said} is no JSON object") as raised:
        run_inline(config)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_failure_while_writing_leaves_no_half_dataset(tmp_path: Path) -> None:
    """When writing the card fails, there is no dataset folder, the old one stays, and the next run ends well."""
    (tmp_path / "truth.jsonl").touch()
    config = configured(tmp_path, [sample(0)], truth="truth.jsonl")

    def run_with_broken_truth() -> None:
        (tmp_path / "truth.jsonl").write_text("")
        loaded = load_config(str(config))
        plan = make_plan(loaded)
        (tmp_path / "truth.jsonl").write_text("{broken")
        execute(loaded, plan, InlineRunner(), Quiet())

    with pytest.raises(FatalError, match=r"truth = .*truth\.jsonl: line 1 is no JSON object"):
        run_with_broken_truth()
    assert not [path for path in (tmp_path / "run").iterdir() if "dataset" in path.name]
    (tmp_path / "truth.jsonl").write_text('{"id": "s0", "trouble": null}\n')
    run_inline(config)
    complete = tree(tmp_path / "run" / "dataset")
    assert "dataset_dict.json" in complete
    with pytest.raises(FatalError):
        run_with_broken_truth()
    assert tree(tmp_path / "run" / "dataset") == complete


def test_pictures_are_stored_as_they_came(tmp_path: Path) -> None:
    """The dataset holds the very bytes of each picture, not a new encoding of them."""
    dataset, result = made(tmp_path, [sample(2)], splits={})
    stored = dataset["train"].cast_column("images", List(Image(decode=False)))[0]["images"][0]["bytes"]
    assert stored == result.view.table(0, ["image_bytes"])["image_bytes"][0].as_py()
    assert Pictures.open(io.BytesIO(stored)).format == "PNG"


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_the_connector_opens_either_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    """Rows and images of both splits are there, in order; no copy of them stays anywhere."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    rows = [sample(number) for number in range(20)]
    run_inline(configured(tmp_path, rows, splits={"validation": 0.4}, format=format_))
    opened = open_dataset(str(tmp_path / "run" / "dataset"))
    assert list(opened) == ["train", "validation"]
    assert sorted(rows_of(opened)) == sorted(row["id"] for row in rows)
    assert opened["train"][0]["images"][0].size[0] == int(opened["train"][0]["id"][1:]) + 1
    assert not (tmp_path / "cache").exists()
    assert list((tmp_path / "scratch").iterdir()) == []
