"""Anybody's table, COCO files and LLaVA's JSON become the one canonical source, and every row is accounted for."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.ingest import ingest
from pipeline.run_dir import SOURCE_FOLDER, RunDirectory
from pipeline.sources import read_source
from pipeline.sources.canonical import SourceRow
from schemas.config import SourceConfig
from schemas.errors import ConfigError
from tests.pipeline.runs import ROOT

DATA = ROOT.parent / "shared" / "data"

needs_data = pytest.mark.skipif(not DATA.exists(), reason="the real test data is not beside the project")

ROWS = [
    {"id": "a", "image_url": "http://x/1.png", "captions": "one, two", "license": "CC0"},
    {"id": "b", "image_url": "http://x/2.png", "captions": "a \"quoted\" word", "license": None},
]


def configured(folder: Path, path: str | list[str], **settings: Any) -> SourceConfig:
    """Return a source's settings as a config in ``folder`` would give them."""
    data = {"kind": "table", "path": path, **settings}
    return SourceConfig.model_validate(data, context={"folder": str(folder)})


def read(folder: Path, path: str | list[str], **settings: Any) -> list[SourceRow]:
    """Return a source's rows."""
    return list(read_source(configured(folder, path, **settings)))


def one(folder: Path, row: Mapping[str, Any]) -> SourceRow:
    """Return one JSON row as the source gives it."""
    (folder / "one.jsonl").write_text(json.dumps(row))
    return read(folder, "one.jsonl")[0]


def ingested(folder: Path, path: str | list[str], **settings: Any) -> list[dict[str, Any]]:
    """Write a source into a run directory and return its rows as they lie there."""
    run = RunDirectory(str(folder / "run"))
    ingest(run, configured(folder, path, **settings))
    return [row for part in run.parts() for row in run.read(SOURCE_FOLDER, part).to_pylist()]


def write_lines(file: Path, rows: Iterable[Any]) -> None:
    """Write JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(file: Path, delimiter: str = ",") -> None:
    """Write the rows as a table with a header; a tab-separated one knows no quoting."""
    with file.open("w", newline="") as out:
        quoting: dict[str, Any] = {} if delimiter == "," else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        writer = csv.DictWriter(out, list(ROWS[0]), delimiter=delimiter, **quoting)
        writer.writeheader()
        writer.writerows(ROWS)


def write_ipc(file: Path, *, stream: bool) -> None:
    """Write the rows as an Arrow file or stream."""
    table = pa.Table.from_pylist(ROWS)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(str(file), table.schema) as writer:
        writer.write_table(table)


WRITERS = {
    "table.csv": write_csv,
    "table.CSV": write_csv,
    "table.tsv": lambda file: write_csv(file, "\t"),
    "table.jsonl": lambda file: write_lines(file, ROWS),
    "table.json": lambda file: file.write_text(json.dumps(ROWS)),
    "table.parquet": lambda file: pq.write_table(pa.Table.from_pylist(ROWS), file),
    "file.arrow": lambda file: write_ipc(file, stream=False),
    "stream.arrow": lambda file: write_ipc(file, stream=True),
}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, write: Any) -> None:
    """A table is the same whatever file it stands in."""
    write(tmp_path / name)
    rows = read(tmp_path, name)
    assert [row.reject for row in rows] == [None, None]
    assert [{key: value for key, value in row.values.items() if value is not None} for row in rows] == [
        {"id": "a", "image_url": "http://x/1.png", "captions": ["one, two"], "license": "CC0"},
        {"id": "b", "image_url": "http://x/2.png", "captions": ['a "quoted" word']},
    ]


def test_table_without_a_header(tmp_path: Path) -> None:
    """Positions name the columns of a file that has no header; a blank line is no row."""
    (tmp_path / "t.tsv").write_text('a dog\thttp://x/1.png\n\na "cat\thttp://x/2.png\n')
    rows = read(tmp_path, "t.tsv", columns={"captions": 0, "image_url": 1})
    assert [(row.values["captions"], row.values["image_url"]) for row in rows] == [
        (["a dog"], "http://x/1.png"), (['a "cat'], "http://x/2.png"),
    ]


def test_files_in_order(tmp_path: Path) -> None:
    """A glob's files come sorted, a list's as listed, and ** looks into folders."""
    for name in ("b", "a", "deep/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_lines(tmp_path / f"{name}.jsonl", [{"id": name}])
    assert [row.values["id"] for row in read(tmp_path, "*.jsonl")] == ["a", "b"]
    assert [row.values["id"] for row in read(tmp_path, ["b.jsonl", "a.jsonl"])] == ["b", "a"]
    assert [row.values["id"] for row in read(tmp_path, "**/*.jsonl")] == ["a", "b", "deep/c"]


def test_renamed_columns(tmp_path: Path) -> None:
    """Their columns come under our names, one of theirs under two if asked; what is not ours is kept as JSON."""
    write_lines(tmp_path / "t.jsonl", [{"TEXT": "a dog", "captions": "shadowed", "score": 0.5, "when": None}])
    (row,) = read(tmp_path, "t.jsonl", columns={"captions": "TEXT", "transcripts": "TEXT"})
    assert row.values["captions"] == ["a dog"]
    assert row.values["transcripts"] == ["a dog"]
    assert json.loads(row.values["extra"]) == {"score": 0.5}


@pytest.mark.parametrize("text", ["id,TEXT\n1,a\n", "id,TEXT\nbroken\n1,a\n"], ids=["sound", "first row broken"])
def test_missing_column_is_a_mistake(tmp_path: Path, text: str) -> None:
    """A column the config names must be in the file, and the nearest one that is there is named."""
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"source.columns.captions = TEXTS: .* \(did you mean TEXT\?\)"):
        read(tmp_path, "t.csv", columns={"captions": "TEXTS"})


def test_missing_position_is_a_mistake(tmp_path: Path) -> None:
    """So must a position."""
    (tmp_path / "t.tsv").write_text("a\tb\n")
    with pytest.raises(ConfigError, match=r"source\.columns\.captions = 5"):
        read(tmp_path, "t.tsv", columns={"captions": 5})


def test_bad_rows_of_a_table_keep_their_places(tmp_path: Path) -> None:
    """A row with too few fields, or bytes that are no text, is rejected where it stands, with its number."""
    (tmp_path / "t.csv").write_bytes(b"id,captions\na,one\nb\nc,caf\xe9\nd,\x00two\ne,three,four\nf,five\n")
    rows = ingested(tmp_path, "t.csv")
    assert [(row["id"], row["_reason"], row["_detail"]) for row in rows] == [
        ("a", None, None),
        ("000000001", "bad_row", "row 3: 1 fields where the first row has 2"),
        ("000000002", "bad_row", "row 4 is not UTF-8"),
        ("d", None, None),
        ("000000004", "bad_row", "row 6: 3 fields where the first row has 2"),
        ("f", None, None),
    ]
    assert [row["_live"] for row in rows] == [True, False, False, True, False, True]
    assert rows[3]["captions"] == ["\x00two"]


def test_bad_lines_keep_their_places(tmp_path: Path) -> None:
    """A line that is no JSON object is rejected with its number."""
    (tmp_path / "t.jsonl").write_bytes(b'{"id": "a"}\n{broken\n\n[1]\n\xff\n{"id": "b"}\n')
    rows = ingested(tmp_path, "t.jsonl")
    assert [row["_reason"] for row in rows] == [None, "bad_row", "bad_row", "bad_row", None]
    assert [str(row["_detail"])[:6] for row in rows[1:4]] == ["line 2", "line 4", "line 5"]
    report = RunDirectory(str(tmp_path / "run")).total(SOURCE_FOLDER)
    assert (report.rows, report.entered, report.kept, report.rejected) == (5, 5, 2, {"bad_row": 3})


BAD_VALUES = {
    "caption": ({"captions": [{"text": "a"}]}, "captions = [{'text': 'a'}]: must be text, not dict"),
    "url": ({"image_url": ["http://x"]}, "image_url = ['http://x']: must be text, not list"),
    "box out of range": ({"boxes": [{"label": "a", "box": [0, 0, 2, 1]}]}, "from 0 to 1"),
    "box upside down": ({"boxes": [{"label": "a", "box": [0.5, 0, 0.1, 1]}]}, "top-left then bottom-right"),
    "box not a number": ({"boxes": [{"label": "a", "box": [0, 0, float("nan"), 1]}]}, "from 0 to 1"),
    "box short": ({"boxes": [{"label": "a", "box": [0, 0, 1]}]}, "not 3 numbers"),
    "box huge": ({"boxes": [{"label": "a", "box": [0, 0, 10**400, 1]}]}, "int too large to convert to float"),
    "box without label": ({"boxes": [{"box": [0, 0, 1, 1]}]}, "'label'"),
    "box with null label": ({"boxes": [{"label": None, "box": [0, 0, 1, 1]}]}, "must be text, not NoneType"),
    "boxes not a list": ({"boxes": {"label": "a"}}, "must be a list of {label, box}"),
    "boxes broken JSON": ({"boxes": "[{"}, "boxes = '[{': Expecting"),
    "boxes nested": ({"boxes": "[" * 100_000}, "boxes = '[[[["),
    "image bytes not bytes": ({"image": {"bytes": [1, 2], "path": None}}, "bytes must be bytes, not list"),
    "image path not text": ({"image": {"path": 5, "bytes": 7}}, "bytes must be bytes, not int"),
    "image a list": ({"image": ["a.png"]}, "must be text, not list"),
    "conversation": ({"source_conversations": [{"kind": "x"}]}, "'messages'"),
    "empty turn": (
        {"source_conversations": [{"kind": "x", "messages": [{"role": "user", "content": None}]}]},
        "must be text, not NoneType",
    ),
    "conversations a word": ({"source_conversations": "hello"}, "source_conversations = 'hello'"),
}


@pytest.mark.parametrize(("values", "said"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_value(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    """A value that is not what its column needs rejects the row and names column, value and what is wrong."""
    write_lines(tmp_path / "t.jsonl", [{"id": "bad", **values}, {"id": "sound"}])
    bad, sound = ingested(tmp_path, "t.jsonl")
    assert (bad["id"], bad["_reason"], sound["_reason"]) == ("bad", "bad_row", None)
    assert bad["_detail"].startswith(f"{next(iter(values))} = ")
    assert said in bad["_detail"]


def test_good_values(tmp_path: Path) -> None:
    """Boxes may be JSON text, as a csv has them; numbers become text; media are bytes, or paths beside the file."""
    row = one(tmp_path, {
        "id": 7, "boxes": '[{"label": "dog", "box": [0, 0.25, 1, 1]}]', "captions": ["a", "", None, 5],
        "image": "pictures/1.png", "audio": "http://x/1.wav", "transcripts": "hello",
    })
    assert row.reject is None
    assert row.values["id"] == "7"
    assert row.values["boxes"] == [{"label": "dog", "box": [0.0, 0.25, 1.0, 1.0]}]
    assert row.values["captions"] == ["a", "5"]
    assert row.values["image"] == {"bytes": None, "path": str(tmp_path / "pictures/1.png")}
    assert row.values["audio"] == {"bytes": None, "path": "http://x/1.wav"}
    assert row.values["transcripts"] == ["hello"]


def test_pictures_inside_the_table(tmp_path: Path) -> None:
    """Bytes in a column, bare or in Hugging Face's struct, are the picture; an empty list of boxes is not unknown."""
    table = pa.table({
        "image": [{"bytes": b"png", "path": "1.png"}], "audio": [b"wav"],
        "boxes": pa.array([[]], pa.list_(pa.struct([("label", pa.string()), ("box", pa.list_(pa.float64()))]))),
    })
    pq.write_table(table, tmp_path / "t.parquet")
    (row,) = ingested(tmp_path, "t.parquet")
    assert row["image"] == {"bytes": b"png", "path": str(tmp_path / "1.png")}
    assert row["audio"] == {"bytes": b"wav", "path": None}
    assert row["boxes"] == []


def test_ids(tmp_path: Path) -> None:
    """A row without an id gets its number; of rows with the same id the first is kept, and all stay apart."""
    rows = [{"captions": "x"}, {"id": "a"}, {"id": "a"}, {"id": ""}, {"id": "a"}, {"id": "a#2"}]
    write_lines(tmp_path / "t.jsonl", rows)
    found = ingested(tmp_path, "t.jsonl", part_rows=4)
    assert [row["id"] for row in found] == ["000000000", "a", "a#2", "000000003", "a#4", "a#2#5"]
    assert [row["_reason"] for row in found] == [None, None, "duplicate_id", None, "duplicate_id", "duplicate_id"]
    assert found[4]["_detail"] == "a stands on an earlier row"


def test_text_that_is_no_unicode(tmp_path: Path) -> None:
    """Half a surrogate pair becomes a question mark, everywhere, also in a row that is rejected for another reason."""
    (tmp_path / "t.jsonl").write_text(
        '{"id": "\\ud800a", "captions": "x\\udfff", "image": {"path": "\\ud800.png"}, "other": "\\ud800"}\n'
        '{"id": "\\ud800b", "captions": [[]], "\\ud800": 1}\n'
    )
    first, second = ingested(tmp_path, "t.jsonl")
    assert (first["id"], first["captions"], first["image"]["path"]) == ("?a", ["x?"], str(tmp_path / "?.png"))
    assert json.loads(first["extra"]) == {"other": "\ud800"}
    assert (second["id"], second["_reason"]) == ("?b", "bad_row")


def test_limit(tmp_path: Path) -> None:
    """Only so many samples are taken, of all files together."""
    for name in ("a", "b"):
        write_lines(tmp_path / f"{name}.jsonl", [{"id": f"{name}{number}"} for number in range(3)])
    assert [row["id"] for row in ingested(tmp_path, "*.jsonl", limit=4, part_rows=3)] == ["a0", "a1", "a2", "b0"]


def test_unchanged_source_is_not_read_again(tmp_path: Path) -> None:
    """The same file is known by size and time; a changed one, or other settings, are read anew."""
    file = tmp_path / "t.jsonl"
    write_lines(file, [{"id": "a"}, {"id": "b"}])
    ingested(tmp_path, "t.jsonl")
    part = tmp_path / "run" / "source" / "00000.arrow"
    written = part.stat().st_mtime_ns
    ingested(tmp_path, "t.jsonl")
    assert part.stat().st_mtime_ns == written
    assert [row["id"] for row in ingested(tmp_path, "t.jsonl", part_rows=1)] == ["a", "b"]
    write_lines(file, [{"id": "c"}])
    assert [row["id"] for row in ingested(tmp_path, "t.jsonl", part_rows=1)] == ["c"]


def test_half_read_source_is_read_again(tmp_path: Path) -> None:
    """When reading a changed source stops half-way, the old index does not stand for the new parts."""
    file = tmp_path / "t.csv"
    file.write_text("id\na\nb\nc\n")
    old = file.stat().st_mtime_ns
    ingested(tmp_path, "t.csv", part_rows=1)
    (tmp_path / "more.parquet").write_bytes(b"no parquet")
    with pytest.raises(ConfigError, match="cannot be read"):
        ingested(tmp_path, ["t.csv", "more.parquet"], part_rows=2)
    assert file.stat().st_mtime_ns == old
    assert [row["id"] for row in ingested(tmp_path, "t.csv", part_rows=1)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "content"), [("t.jsonl", b""), ("t.csv", b"id,captions\n"), ("t.csv", b""), ("t.json", b"[]")]
)
def test_empty_source_is_a_mistake(tmp_path: Path, name: str, content: bytes) -> None:
    """Nothing in is no reason to make an empty dataset."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="holds no rows"):
        ingested(tmp_path, name)


UNREADABLE = {
    "t.parquet": b"no parquet", "t.arrow": b"no arrow at all", "empty.arrow": b"", "t.json": b"{broken",
    "list.json": b'{"id": 1}', "deep.json": b"[" * 100_000, "digits.json": b"[" + b"9" * 5000 + b"]",
    "quote.csv": b'id,captions\na,"' + b"x" * (1 << 24) + b"xx",
}


@pytest.mark.parametrize(("name", "content"), UNREADABLE.items(), ids=UNREADABLE)
def test_unreadable_file_is_a_mistake(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that cannot be read as a whole is one line that names it."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        ingested(tmp_path, name)
    assert str(raised.value).startswith(f"{tmp_path / name}: source.path = {tmp_path / name}: ")
    assert "\n" not in str(raised.value)


def test_folder_is_a_mistake(tmp_path: Path) -> None:
    """So is a folder where a file should be."""
    (tmp_path / "data.csv").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        read(tmp_path, "data.csv")


# --- COCO ------------------------------------------------------------------------------------------------------------

CAPTIONS = {
    "licenses": [{"id": 4, "name": "Attribution License"}],
    "images": [
        {"id": 1, "file_name": "1.jpg", "coco_url": "http://c/1.jpg", "license": 4, "width": 100, "height": 50},
        {"id": 2, "file_name": "2.jpg", "coco_url": "http://c/2.jpg", "license": 9, "width": 10, "height": 10},
    ],
    "annotations": [
        {"image_id": 1, "caption": " A dog. "}, {"image_id": 2, "caption": "A cat."},
        {"image_id": 1, "caption": "The dog again."},
    ],
}
INSTANCES = {
    "categories": [{"id": 18, "name": "dog"}],
    "images": [{"id": 1, "file_name": "1.jpg", "coco_url": "http://c/1.jpg", "width": 100, "height": 50}],
    "annotations": [
        {"image_id": 1, "category_id": 18, "bbox": [10, 10, 40, 20], "iscrowd": 0},
        {"image_id": 1, "category_id": 18, "bbox": [0, 0, 100, 50], "iscrowd": 1},
        {"image_id": 1, "category_id": 18, "bbox": [90, 40, 20, 20]},
    ],
}


def coco(folder: Path, *files: Any, **settings: Any) -> list[SourceRow]:
    """Write COCO files and read them."""
    names = [f"{index}.json" for index in range(len(files))]
    for name, data in zip(names, files, strict=True):
        (folder / name).write_text(json.dumps(data))
    return read(folder, names, kind="coco", **settings)


def test_coco_files_are_joined(tmp_path: Path) -> None:
    """Captions and boxes meet at their image: crowds left out, boxes clipped, licences by name."""
    first, second = coco(tmp_path, CAPTIONS, INSTANCES)
    assert first.values["id"] == "1"
    assert first.values["image_url"] == "http://c/1.jpg"
    assert first.values["captions"] == ["A dog.", "The dog again."]
    assert first.values["license"] == "Attribution License"
    assert first.values["boxes"] == [
        {"label": "dog", "box": [0.1, 0.2, 0.5, 0.6]}, {"label": "dog", "box": [0.9, 0.8, 1.0, 1.0]},
    ]
    assert "boxes" not in second.values, "an image no instances file lists has unknown objects, not none"
    assert second.values.get("license") is None


def test_coco_image_without_objects(tmp_path: Path) -> None:
    """An image an instances file lists without objects has none."""
    (row,) = coco(tmp_path, {**INSTANCES, "annotations": []})
    assert row.values["boxes"] == []


def test_coco_images_folder(tmp_path: Path) -> None:
    """Where the images lie on the disk, they are not fetched."""
    (tmp_path / "train").mkdir()
    first, _ = coco(tmp_path, CAPTIONS, images="train")
    assert first.values["image"] == {"bytes": None, "path": str(tmp_path / "train" / "1.jpg")}
    assert "image_url" not in first.values


BAD_ANNOTATIONS = {
    "no width": ({"image_id": 1, "category_id": 18, "bbox": [0, 0, 1, 1]}, {"width": 0}, "0 x 50 pixels"),
    "category": ({"image_id": 1, "category_id": 99, "bbox": [0, 0, 1, 1]}, {}, "KeyError(99)"),
    "short box": ({"image_id": 1, "category_id": 18, "bbox": [0, 0, 1]}, {}, "not enough values"),
    "text box": ({"image_id": 1, "category_id": 18, "bbox": "0011"}, {}, "TypeError"),
    "caption": ({"image_id": 1, "caption": None}, {}, "AttributeError"),
    "negative width": ({"image_id": 1, "category_id": 18, "bbox": [50, 0, -40, 10]}, {}, "top-left"),
}


@pytest.mark.parametrize(("annotation", "image", "said"), BAD_ANNOTATIONS.values(), ids=BAD_ANNOTATIONS)
def test_coco_bad_annotation_costs_its_image(
    tmp_path: Path, annotation: dict[str, Any], image: dict[str, Any], said: str
) -> None:
    """An annotation that makes no sense rejects its image and says why; the others are read."""
    data = {
        **INSTANCES,
        "images": [INSTANCES["images"][0] | image, {"id": 3, "file_name": "3.jpg", "width": 1, "height": 1}],
        "annotations": [annotation],
    }
    bad, sound = coco(tmp_path, data)
    assert bad.values["id"] == "1"
    assert bad.reject is not None
    assert said in bad.reject.detail
    assert sound.reject is None


BROKEN_COCO: dict[str, tuple[Any, str]] = {
    "unknown image": (
        {**INSTANCES, "annotations": [{"image_id": 99, "caption": "x"}]},
        "annotations[0].image_id = 99: no image of this file has this id",
    ),
    "annotation without image": (
        {**INSTANCES, "annotations": ["x"]}, "annotations[0].image_id = None: no image of this file has this id",
    ),
    "other keys": ({"info": {}}, "images: missing"),
    "a list": ([], "images: missing"),
    "image without id": (
        {**INSTANCES, "images": [{"file_name": "x"}]}, "this is no COCO annotation file: KeyError('id')",
    ),
    "images of a wrong type": ({**INSTANCES, "images": 5}, "this is no COCO annotation file"),
}


@pytest.mark.parametrize(("data", "said"), BROKEN_COCO.values(), ids=BROKEN_COCO)
def test_coco_file_that_is_none(tmp_path: Path, data: Any, said: str) -> None:
    """A file whose parts do not belong together is a mistake that names the file and the place."""
    with pytest.raises(ConfigError) as raised:
        coco(tmp_path, data)
    assert said in str(raised.value)
    assert str(tmp_path / "0.json") in str(raised.value)


# --- LLaVA -----------------------------------------------------------------------------------------------------------


def test_llava_training_json(tmp_path: Path) -> None:
    """Turns get our role names, the image token goes, and the image lies in the folder named."""
    (tmp_path / "images").mkdir()
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A dog."}]
    records = [
        {"id": "1", "image": "coco/1.jpg", "conversations": turns},
        {"id": "2", "conversations": [{"from": "system", "value": "x"}]},
        "not a record",
        {"id": "4", "conversations": None},
    ]
    (tmp_path / "t.json").write_text(json.dumps(records))
    rows = read(tmp_path, "t.json", kind="llava", images="images")
    assert rows[0].values["image"] == {"bytes": None, "path": str(tmp_path / "images" / "coco" / "1.jpg")}
    assert rows[0].values["source_conversations"] == [
        {
            "kind": "llava",
            "messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A dog."}],
            "provenance": "source",
        }
    ]
    assert [row.reject is None for row in rows] == [True, False, False, False]


@pytest.mark.parametrize("content", ["{broken", '{"id": 1}', "[" * 100_000], ids=["broken", "no list", "deep"])
def test_llava_file_that_is_none(tmp_path: Path, content: str) -> None:
    """A file that is no list of records is one line, not a traceback."""
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(ConfigError, match=r"t\.json"):
        read(tmp_path, "t.json", kind="llava")


@needs_data
def test_llava_contexts(tmp_path: Path) -> None:
    """LLaVA's captions-and-boxes lines are read whole: five captions an image, every box in range."""
    rows = ingested(tmp_path, str(DATA / "contexts.jsonl"), kind="llava")
    lines = [json.loads(line) for line in (DATA / "contexts.jsonl").read_text().splitlines()]
    assert [row["_reason"] for row in rows] == [None] * len(lines) == [None] * 40
    assert [row["captions"] for row in rows] == [line["captions"] for line in lines]
    assert [[(box["label"], box["box"]) for box in row["boxes"]] for row in rows] == [
        [(one["category"], one["bbox"]) for one in line["instances"]] for line in lines
    ]


# --- other people's files --------------------------------------------------------------------------------------------


@needs_data
def test_conceptual_captions(tmp_path: Path) -> None:
    """A CC3M list, caption and URL without header or quoting, is read line for line."""
    rows = ingested(tmp_path, str(DATA / "urls/cc3m_validation_500.tsv"), columns={"captions": 0, "image_url": 1})
    lines = (DATA / "urls/cc3m_validation_500.tsv").read_text().splitlines()
    assert [f"{row['captions'][0]}\t{row['image_url']}" for row in rows] == lines
    assert not any(row["_reason"] for row in rows)


@needs_data
def test_img2dataset_table(tmp_path: Path) -> None:
    """img2dataset's own column names are mapped; its index column is kept aside."""
    file = DATA / "urls/img2dataset_200.parquet"
    rows = ingested(tmp_path, str(file), columns={"captions": "TEXT", "image_url": "URL"})
    theirs = pq.read_table(file).to_pylist()
    assert [(row["captions"], row["image_url"]) for row in rows] == [([row["TEXT"]], row["URL"]) for row in theirs]
    assert set(json.loads(rows[0]["extra"])) == {"__index_level_0__"}


@needs_data
def test_json_test_suite(tmp_path: Path) -> None:
    """What no JSON parser may accept is rejected, what every parser must accept never crashes; each line counts."""
    files = sorted((DATA / "hostile/text/JSONTestSuite").glob("*.json"))
    accounted = 0
    for file in files:
        # Newlines would make several lines of one case.
        value = file.read_bytes().replace(b"\n", b" ")
        line = b'{"id": "x", "captions": "a", "other": ' + value + b"}"
        (tmp_path / "t.jsonl").write_bytes(line + b'\n{"id": "y"}\n')
        rows = ingested(tmp_path, "t.jsonl")
        assert rows[-1]["id"] == "y", file.name
        assert all(row["_reason"] in {None, "bad_row"} for row in rows)
        if file.name.startswith("y_"):
            assert [row["_reason"] for row in rows] == [None, None], file.name
        accounted += 1
    assert accounted == len(files) > 50


@needs_data
def test_naughty_strings(tmp_path: Path) -> None:
    """Every string of the big list is a caption, from JSON, CSV and TSV alike."""
    strings = [text for text in json.loads((DATA / "hostile/text/blns.json").read_text()) if text]
    write_lines(tmp_path / "t.jsonl", [{"captions": [text]} for text in strings])
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["captions"], *([text] for text in strings)])
    for name in ("t.jsonl", "t.csv"):
        rows = ingested(tmp_path, name)
        assert [row["_reason"] for row in rows] == [None] * len(strings)
        assert [row["captions"] for row in rows] == [[text] for text in strings]


def test_deep_but_valid_json(tmp_path: Path) -> None:
    """However deeply a row is nested, it is kept or rejected, and the next one is read."""
    for depth in range(100, 1500, 50):
        nested = "[" * depth + "]" * depth
        (tmp_path / "t.jsonl").write_text(f'{{"id": "x", "other": {nested}, "boxes": {nested}}}\n{{"id": "y"}}\n')
        rows = ingested(tmp_path, "t.jsonl")
        assert [row["id"] in {"x", "y", "000000000"} for row in rows] == [True, True]
