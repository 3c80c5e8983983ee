"""Datasets of the Hugging Face library, PixMo's among them, become the canonical source."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image as Pictures

from pipeline.config import load_config
from schemas.errors import ConfigError
from tests.pipeline.runs import showtell_process, write_config
from tests.pipeline.test_sources import ingested, read

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be found in, or left in, the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()


def png(colour: str = "red") -> bytes:
    """Return a picture."""
    file = io.BytesIO()
    Pictures.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def dataset(*names: str) -> Any:
    """Return a dataset of pictures and recordings."""
    features = datasets.Features({
        "id": datasets.Value("string"), "image": datasets.Image(), "audio": datasets.Audio(),
        "caption": datasets.Value("string"), "views": datasets.List(datasets.Image()),
    })
    rows = [
        {
            "id": name, "image": {"bytes": png(), "path": None}, "audio": {"bytes": b"no sound", "path": None},
            "caption": f"about {name}", "views": [{"bytes": png(), "path": None}],
        }
        for name in names
    ]
    table = pa.Table.from_pylist(rows, schema=features.arrow_schema)  # from_list would ask for a decoder of sound
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=features))


def rows(folder: Path, path: str, **settings: Any) -> list[dict[str, Any]]:
    """Return a dataset's rows, all of which can be used."""
    found = read(folder, path, kind="huggingface", **settings)
    assert [row.reject for row in found if row.reject] == []
    return [dict(row.values) for row in found]


def write_saved(folder: Path) -> None:
    """Write one split as ``save_to_disk`` does."""
    dataset("a", "b").save_to_disk(str(folder))


def write_saved_splits(folder: Path) -> None:
    """Write several."""
    datasets.DatasetDict(test=dataset("x"), train=dataset("a", "b")).save_to_disk(str(folder))


def write_parquet(folder: Path) -> None:
    """Write splits as the hub holds them."""
    dataset("a", "b").to_parquet(str(folder / "data" / "train-00000-of-00001.parquet"))
    dataset("x").to_parquet(str(folder / "data" / "test-00000-of-00001.parquet"))


WRITERS = {"saved": write_saved, "saved splits": write_saved_splits, "parquet": write_parquet}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_layout(tmp_path: Path, write: Any) -> None:
    """However a dataset lies on the disk, its training split comes in with media as they are, never decoded."""
    (tmp_path / "set" / "data").mkdir(parents=True)
    write(tmp_path / "set")
    first, second = rows(tmp_path, "set")
    assert (first["id"], second["id"], first["captions"]) == ("a", "b", ["about a"])
    assert first["image"] == {"bytes": png(), "path": None}
    assert first["audio"] == {"bytes": b"no sound", "path": None}
    assert json.loads(first["extra"])["views"][0]["bytes"] == f"<{len(png())} bytes>"


def test_jsonl_with_pictures_beside(tmp_path: Path) -> None:
    """A hub folder may hold JSON lines that name pictures in it, or pictures with a list."""
    (tmp_path / "pictures" / "train").mkdir(parents=True)
    (tmp_path / "pictures" / "train" / "1.png").write_bytes(png())
    (tmp_path / "pictures" / "train" / "metadata.jsonl").write_text('{"file_name": "1.png", "caption": "red"}\n')
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "train.jsonl").write_text('{"image": "1.png", "caption": "red"}\n')
    (row,) = rows(tmp_path, "pictures")
    assert (row["image"]["path"], row["captions"]) == (str(tmp_path / "pictures" / "train" / "1.png"), ["red"])
    (row,) = rows(tmp_path, "lines")
    assert row["image"]["path"] == str(tmp_path / "lines" / "1.png")


def test_files_outside_of_the_dataset(tmp_path: Path) -> None:
    """A stranger's dataset cannot name other files of this machine."""
    (tmp_path / "set").mkdir()
    lines = [{"image": "/etc/passwd"}, {"image": "../../x.png"}, {"image": "http://x/1.png"}, {"image": "in.png"}]
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = ingested(tmp_path, "set", kind="huggingface")
    assert [row["_reason"] for row in found] == ["bad_row", "bad_row", "bad_row", None]
    assert found[0]["_detail"] == "image = /etc/passwd is no file of the dataset"


def test_splits(tmp_path: Path) -> None:
    """The split is the one named, the only one, or train; else the mistake lists them."""
    write_saved_splits(tmp_path / "set")
    assert [row["id"] for row in rows(tmp_path, "set", split="test")] == ["x"]
    with pytest.raises(ConfigError, match=r"source.split = tain: .* \(did you mean train\?\)"):
        rows(tmp_path, "set", split="tain")
    datasets.DatasetDict(dev=dataset("x"), test=dataset("a", "b")).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(ConfigError, match=r"source\.split: missing: the dataset has dev, test"):
        rows(tmp_path, "other")
    datasets.DatasetDict(dev=dataset("x")).save_to_disk(str(tmp_path / "one"))
    assert [row["id"] for row in rows(tmp_path, "one")] == ["x"]
    write_saved(tmp_path / "bare")
    with pytest.raises(ConfigError, match=r"source\.split = train: the dataset has no such split"):
        rows(tmp_path, "bare", split="train")


def test_subsets(tmp_path: Path) -> None:
    """Of several subsets one must be named, unless the card says which is the usual one."""
    folder = tmp_path / "set"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        dataset(name).to_parquet(str(folder / name / "x.parquet"))
    card = "---\nconfigs:\n- config_name: one\n  data_files: one/*\n- config_name: two\n  data_files: two/*\n{}---\n"
    (folder / "README.md").write_text(card.format(""))
    assert [row["id"] for row in rows(tmp_path, "set", subset="two")] == ["two"]
    with pytest.raises(ConfigError, match=r"source\.subset: missing: the dataset has one, two"):
        rows(tmp_path, "set")
    with pytest.raises(ConfigError, match=r"source.subset = tow: .* \(did you mean two\?\)"):
        rows(tmp_path, "set", subset="tow")
    (folder / "README.md").write_text(card.format("  default: true\n"))
    assert [row["id"] for row in rows(tmp_path, "set")] == ["two"]
    write_saved(tmp_path / "saved")
    with pytest.raises(ConfigError, match=r"source\.subset = one: the dataset has no such subset"):
        rows(tmp_path, "saved", subset="one")


def test_renamed_columns(tmp_path: Path) -> None:
    """Their columns come under our names, and one that is not there is a mistake."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"URL": "http://x/1.png", "TEXT": "a dog"}\n')
    (row,) = rows(tmp_path, "set", columns={"image_url": "URL", "captions": "TEXT"})
    assert (row["image_url"], row["captions"]) == ("http://x/1.png", ["a dog"])
    with pytest.raises(ConfigError, match=r"source.columns.captions = TXT: .* \(did you mean TEXT\?\)"):
        rows(tmp_path, "set", columns={"captions": "TXT"})


def test_changed_dataset_is_read_again(tmp_path: Path) -> None:
    """A dataset is known by the sizes and times of its files."""
    (tmp_path / "set").mkdir()
    for name in ("a", "bb"):
        (tmp_path / "set" / "train.jsonl").write_text(json.dumps({"id": name}) + "\n")
        assert [row["id"] for row in ingested(tmp_path, "set", kind="huggingface")] == [name]


# --- PixMo -----------------------------------------------------------------------------------------------------------


def pixmo(folder: Path, *records: dict[str, Any]) -> list[dict[str, Any]]:
    """Write records as PixMo's parquet files hold them and return the source's rows."""
    (folder / "set").mkdir()
    datasets.Dataset.from_list(list(records)).to_parquet(str(folder / "set" / "train.parquet"))
    return ingested(folder, "set", kind="huggingface")


def test_pixmo_cap(tmp_path: Path) -> None:
    """Captions and transcripts stand in their columns."""
    (row,) = pixmo(tmp_path, {"image_url": "http://x/1.jpg", "caption": "A dog.", "transcripts": ["um a dog", "dog"]})
    assert (row["image_url"], row["captions"]) == ("http://x/1.jpg", ["A dog."])
    assert row["transcripts"] == ["um a dog", "dog"]
    assert row["source_conversations"] is None


def test_pixmo_points(tmp_path: Path) -> None:
    """Points become one conversation in PixMo's own form, sorted; label, count and hash are kept as they are."""
    record = {"image_url": "http://x/1.jpg", "image_sha256": "ab" * 32, "collection_method": "pointing"}
    points = [{"x": 50.25, "y": 3.0}, {"x": 10.0, "y": 99.99}]
    many, one, none, odd, wrong = pixmo(
        tmp_path, {**record, "label": "red  kites", "count": 2, "points": points},
        {**record, "label": "kite", "count": 1, "points": points[:1]},
        {**record, "label": "dog", "count": 0, "points": []},
        {**record, "label": 'a "kite"', "count": 1, "points": points[:1]},
        {**record, "label": "kite", "count": 1, "points": [{"x": 250.0, "y": 3.0}]},
    )
    (conversation,) = many["source_conversations"]
    assert (conversation["kind"], conversation["provenance"]) == ("pointing", "source")
    assert conversation["messages"] == [
        {"role": "user", "content": 'Point to every place that shows "red kites".'},
        {
            "role": "assistant",
            "content": '<points x1="10.0" y1="100.0" x2="50.2" y2="3.0" alt="red kites">red kites</points>',
        },
    ]
    extra = json.loads(many["extra"])
    assert (extra["image_sha256"], extra["label"], extra["count"], extra["points"]) == (
        "ab" * 32, "red  kites", 2, points,
    )
    assert one["source_conversations"][0]["messages"][1]["content"] == '<point x="50.2" y="3.0" alt="kite">kite</point>'
    assert none["source_conversations"][0]["messages"][1]["content"] == "There are none."
    assert (odd["_reason"], odd["source_conversations"]) == (None, None)
    assert (wrong["_reason"], "percentages" in wrong["_detail"]) == ("bad_row", True)


def test_pixmo_questions(tmp_path: Path) -> None:
    """A question with its answer is a conversation, also where the question holds the turns before it."""
    plain, marked, several = pixmo(
        tmp_path, {"question": "What is it?", "answer": " A dog. "},
        {"question": "[USER] Which colour? [ASSISTANT]", "answer": "Red."},
        {"question": "\n[USER] Which colour?\n[ASSISTANT] Red.\n[USER] Sure?\n[ASSISTANT]", "answer": "Yes."},
    )
    for row, kind, said in (
        (plain, "qa", ["What is it?", "A dog."]), (marked, "qa", ["Which colour?", "Red."]),
        (several, "qa", ["Which colour?", "Red.", "Sure?", "Yes."]),
    ):
        (conversation,) = row["source_conversations"]
        assert (conversation["kind"], conversation["provenance"]) == (kind, "source")
        assert [turn["content"] for turn in conversation["messages"]] == said
        assert [turn["role"] for turn in conversation["messages"]] == ["user", "assistant"] * (len(said) // 2)


# --- what cannot be read ---------------------------------------------------------------------------------------------


def test_unreadable_folder_is_a_mistake(tmp_path: Path) -> None:
    """A folder that holds no dataset, or a broken one, is one line."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"no parquet")
    write_saved(tmp_path / "torn")
    (tmp_path / "torn" / "state.json").write_text("{")
    for name in ("empty", "broken", "torn"):
        with pytest.raises(ConfigError, match=r"source\.path = \S+: cannot be read: ") as raised:
            rows(tmp_path, name)
        assert "\n" not in str(raised.value)


MISTAKES = {
    "two": ({"path": ["a/b", "c/d"]}, "source.path = ['a/b', 'c/d']: must be one folder or hub id"),
    "a file": (
        {"path": "pairs.jsonl"},
        "source.path = 'pairs.jsonl': must be a dataset's folder or hub id (org/name); a single file is a table",
    ),
    "mistyped": ({"path": "here/est"}, "source.path = 'here/est': no such file or folder: {folder}/here/est"),
    "a URL": (
        {"path": "https://huggingface.co/datasets/a/b"},
        "source.path = 'https://huggingface.co/datasets/a/b': must be a file or folder here, not a URL",
    ),
    "images": (
        {"path": "org/name", "images": "here"},
        "source.images = 'here': only for coco and llava: other samples say themselves where their image is",
    ),
    "split": ({"kind": "table", "path": "pairs.jsonl", "split": "x"}, "source.split = 'x': only for huggingface"),
    "no hub": (
        {"kind": "table", "path": "org/name"}, "source.path = 'org/name': no such file or folder: {folder}/org/name",
    ),
}


@pytest.mark.parametrize(("source", "line"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_a_config(tmp_path: Path, source: dict[str, Any], line: str) -> None:
    """Every mistake is one line with key and value."""
    (tmp_path / "here").mkdir()
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    config = write_config(tmp_path, [{"use": "shards"}], source={"kind": "huggingface", **source})
    with pytest.raises(ConfigError) as raised:
        load_config(str(config))
    assert str(raised.value) == f"{config}: {line}".replace("{folder}", str(tmp_path))


def test_hub_offline(tmp_path: Path) -> None:
    """A hub id is taken for one; without a network the run ends at once with one line."""
    config = write_config(tmp_path, [{"use": "shards"}], source={"kind": "huggingface", "path": "org/name"})
    assert load_config(str(config)).config.source.path == ["org/name"]
    done = showtell_process(
        "run", str(config), "--runner", "inline", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=str(tmp_path)
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("org/name: source.path = org/name: cannot be read: ConnectionError: ")
