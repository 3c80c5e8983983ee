"""export, whatever the format: whole or not at all, the same bytes after a kill, in little memory, nobody's files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.cli import DONE, FAILED, WRONG
from pipeline.export.run import FORMATS, export
from schemas.errors import ConfigError, FatalError
from stages.dataset.files import write_index, write_shard
from stages.dataset.rows import features
from tests.pipeline.export.finished import mixed, row, saved
from tests.pipeline.runs import ROOT, showtell, tree

ALL = pytest.mark.parametrize("name", list(FORMATS))

EACH_WRITER = pytest.mark.parametrize("name", ["llava", "webdataset", "parquet"])
"""One format of each way to write: lines and images, tar, Parquet."""


@ALL
def test_same_dataset_same_bytes(name: str, dataset: Path, tmp_path: Path) -> None:
    """Two exports are equal, byte for byte, and the manifest knows every file but the images."""
    trees = []
    for to in ("one", "two"):
        export(str(dataset), name, str(tmp_path / to), max_shard_bytes=20_000)
        trees.append(tree(tmp_path / to))
    assert trees[0] == trees[1]
    manifest = json.loads(trees[0]["export.json"])
    others = {file for file in trees[0] if "images/" not in file and file != "export.json"}
    assert set(manifest["files"]) == others
    assert {file: entry["bytes"] for file, entry in manifest["files"].items()} == {
        file: len(trees[0][file]) for file in others
    }
    rows = mixed()
    assert manifest["rows"] == {split: len(rows[split]) for split in rows}
    assert manifest["images"] == sum(len(entry["images"]) for split in rows.values() for entry in split)


@pytest.mark.parametrize("name", ["webdataset", "parquet"])
def test_shard_size(name: str, tmp_path: Path) -> None:
    """A shard is at most sixteen rows longer than was said, and only the last is shorter."""
    export(str(large(tmp_path / "dataset", 300, 20_000)), name, str(tmp_path / "out"), max_shard_bytes=1_000_000)
    shards = [file for file in tree(tmp_path / "out").items() if file[0].endswith((".tar", ".parquet"))]
    sizes = [len(content) for _, content in shards]
    assert len(sizes) >= 5
    assert all(1_000_000 <= size < 1_000_000 + 17 * 23_000 for size in sizes[:-1])


# --- killed ----------------------------------------------------------------------------------------------------------


def large(folder: Path, rows: int, image_bytes: int) -> Path:
    """Write a dataset as ``shards`` does, a few rows in memory at a time; each image is followed by noise."""
    (small,) = row(0)["images"]
    schema = features().arrow_schema

    def batches() -> Iterator[pa.Table]:
        for start in range(0, rows, 100):
            noisy = [
                row(number, [small["bytes"] + os.urandom(image_bytes - len(small["bytes"]))])
                for number in range(start, min(start + 100, rows))
            ]
            yield pa.Table.from_pylist(noisy, schema=schema)

    shard = write_shard(folder, "train/data-00000.arrow", "arrow", schema, batches())
    write_index(folder, features(), {"train": [shard]})
    return folder


def records(folder: Path) -> int:
    """Return how many pieces an export has finished."""
    return len(list((folder / ".export").glob("*-*.json")))


@EACH_WRITER
def test_killed_export_goes_on(name: str, tmp_path: Path) -> None:
    """kill -9 at several moments: the same command goes on, and ends with the bytes of an undisturbed export."""
    dataset = large(tmp_path / "dataset", 1200, 20_000)
    command = ["export", str(dataset), "--format", name, "--max-shard-bytes", "1000000", "--to"]
    assert showtell(*command, str(tmp_path / "undisturbed")).returncode == DONE
    out, kills = tmp_path / "killed", 0
    for pieces in (1, 12):
        process = subprocess.Popen([sys.executable, "-m", "pipeline", *command, str(out)], cwd=ROOT)
        while process.poll() is None and records(out) < pieces:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert not (out / "export.json").exists()
    assert kills == 2
    before = records(out)
    ended = showtell(*command, str(out))
    assert (ended.returncode, ended.stderr) == (DONE, "")
    assert before >= 12
    assert tree(out) == tree(tmp_path / "undisturbed")


@ALL
def test_killed_while_finishing(name: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that ends between any two renames is finished by the next, with the same bytes."""
    export(str(dataset), name, str(tmp_path / "undisturbed"), max_shard_bytes=20_000)
    out, replace = tmp_path / "out", os.replace
    moments = 0

    def dies_after(times: int) -> Callable[..., None]:
        left = times

        def replaced(*names: Any) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            replace(*names)

        return replaced

    for times in range(1, 400):
        monkeypatch.setattr(os, "replace", dies_after(times))
        try:
            export(str(dataset), name, str(out), max_shard_bytes=20_000)
            break
        except KeyboardInterrupt:
            moments += 1
    assert moments > 2
    assert tree(out) == tree(tmp_path / "undisturbed")


def test_stopped_export_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C ends in one line, and what is there is kept."""
    dataset, out = large(tmp_path / "dataset", 4000, 20_000), tmp_path / "out"
    command = ["export", str(dataset), "--format", "parquet", "--max-shard-bytes", "1000000", "--to", str(out)]
    started = [sys.executable, "-m", "pipeline", *command]
    process = subprocess.Popen(started, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and records(out) < 2:
        time.sleep(0.001)
    assert process.poll() is None, "it ended before it was stopped"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert (process.returncode, said) == (FAILED, "error: stopped; the same command goes on from here\n")
    assert records(out) >= 2


def test_stopped_in_the_last_step(dataset: Path, tmp_path: Path) -> None:
    """Ctrl-C is heard after the last row too: here the file of all rows is a pipe that nobody reads."""
    out = tmp_path / "out"

    def stop(done: int, rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(str(dataset), "llava", str(out), progress=stop)
    os.mkfifo(out / "train.json.tmp")
    command = [sys.executable, "-m", "pipeline", "export", str(dataset), "--format", "llava", "--to", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and records(out) < len(mixed()):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) == (FAILED, "error: stopped; the same command goes on from here\n")
    (out / "train.json.tmp").unlink()
    assert export(str(dataset), "llava", str(out))["rows"] == {split: len(rows) for split, rows in mixed().items()}


# --- memory ----------------------------------------------------------------------------------------------------------

PEAK = """
import resource, sys
from pipeline.export.run import export
export(*sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def large_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset larger than the memory its export may take."""
    return large(tmp_path_factory.mktemp("large") / "dataset", 1500, 200_000)


@EACH_WRITER
def test_memory_is_bounded(name: str, dataset: Path, large_dataset: Path, tmp_path: Path) -> None:
    """A dataset of 300 MB is exported in less than half of that beyond what a small one takes."""
    peaks = []
    for source in (dataset, large_dataset):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(source), name, str(tmp_path / f"out-{len(peaks)}")],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )
        peaks.append(int(done.stdout) * 1024)
    assert peaks[1] - peaks[0] < 150_000_000, peaks


# --- whose folder ----------------------------------------------------------------------------------------------------


def refused(*arguments: Any) -> str:
    """Return the one line an export is refused with."""
    with pytest.raises(ConfigError) as raised:
        export(*(str(argument) for argument in arguments))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_complete_export_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    """The same export again does nothing and says the same."""
    out = tmp_path / "out"
    first = export(str(dataset), "llava", str(out))
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    assert export(str(dataset), "llava", str(out)) == first
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == times


def test_foreign_folders_are_refused(dataset: Path, tmp_path: Path) -> None:
    """A folder with anything in it that is not this export is never written to."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert f"--to = {out}: is not empty and holds no export (thesis.txt)" in refused(dataset, "llava", out)
    assert tree(out) == {"thesis.txt": b"mine"}
    for theirs in ("[]", "{}", '{"format": "llava"}'):
        (out / "export.json").write_text(theirs)
        assert "holds no export" in refused(dataset, "llava", out)
    assert "is a file" in refused(dataset, "llava", out / "thesis.txt")


def test_other_exports_are_refused(dataset: Path, tmp_path: Path) -> None:
    """So is an export of another dataset, in another format or cut otherwise, finished or not."""
    out, other = tmp_path / "out", saved(tmp_path / "other", {"train": [row(0)]})
    export(str(dataset), "llava", str(out))
    before = tree(out)
    assert "an export in another format (llava)" in refused(dataset, "trl", out)
    assert "an export of another dataset" in refused(other, "llava", out)
    with pytest.raises(ConfigError, match=r"another max shard bytes \(500000000\)"):
        export(str(dataset), "llava", str(out), max_shard_bytes=5)
    assert tree(out) == before
    (out / ".export").mkdir()
    (out / "export.json").rename(out / ".export" / "claim.json")
    assert "an export of another dataset" in refused(other, "llava", out)


def test_a_changed_dataset_is_another(tmp_path: Path) -> None:
    """One word in one row, and an unfinished export of the old rows is not continued with the new."""
    rows = [row(number) for number in range(3)]
    one = saved(tmp_path / "one", {"train": rows})
    export(str(one), "trl", str(tmp_path / "out"))
    rows[1]["messages"][1]["content"] = rows[1]["messages"][1]["content"].replace("doubt", "proof")
    assert "another dataset" in refused(saved(tmp_path / "two", {"train": rows}), "trl", tmp_path / "out")


def test_two_at_once_are_refused(dataset: Path, tmp_path: Path) -> None:
    """While one export writes, another into the same folder is told so."""
    out, said = tmp_path / "out", []

    def second(done: int, rows: int) -> None:
        with pytest.raises(FatalError, match="another export is writing here") as raised:
            export(str(dataset), "llava", str(out))
        said.append(str(raised.value))

    export(str(dataset), "llava", str(out), progress=second)
    assert said
    assert (out / "export.json").exists()


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_mistakes_are_one_line_each(dataset: Path, tmp_path: Path) -> None:
    """A wrong format, dataset or folder is named with what would be right."""
    out = tmp_path / "out"
    assert "--format = lava: no such format (did you mean llava?)" in refused(dataset, "lava", out)
    assert "DATASET_DIR = /nowhere: does not exist" in refused("/nowhere", "llava", out)
    assert "holds no dataset (neither dataset_dict.json nor data/*.parquet)" in refused(tmp_path, "llava", out)
    assert f"(did you mean {dataset.parent}/dataset?)" in refused(dataset.parent, "llava", out)
    assert "must be a local folder" in refused("s3://bucket/run/dataset", "llava", out)
    assert "must be a local folder" in refused(dataset, "llava", "s3://bucket/out")
    for inside in (dataset, dataset / "out", dataset.parent):
        assert "must be a folder apart from the dataset's" in refused(dataset, "llava", inside)
    assert not out.exists()


def test_command_line(dataset: Path, tmp_path: Path) -> None:
    """Exit codes and lines: done, a mistake, a damaged dataset."""
    done = showtell("export", str(dataset), "--format", "llava", "--to", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (DONE, "")
    assert "train 60 rows, validation 5 rows, 64 images" in done.stdout
    assert "3 texts held a literal placeholder" in done.stdout
    wrong = showtell("export", str(dataset), "--format", "lava", "--to", str(tmp_path / "other"))
    assert wrong.returncode == WRONG
    assert wrong.stderr == "command line: --format = lava: no such format (did you mean llava?)\n"
    broken = saved(tmp_path / "broken", {"train": [row(0, [b"no image"])]})
    failed = showtell("export", str(broken), "--format", "llava", "--to", str(tmp_path / "other"))
    assert failed.returncode == FAILED
    assert re.fullmatch(r"error: train, row 0 \(id 's/0.a'\): an image does not open: [^\n]*\n", failed.stderr)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (row(0, None), "messages are not user and assistant in turn, but none"),
        (row(0, None, "a", "b", "c"), "but user, assistant, user"),
        (row(0, [b""]), "an image has no bytes"),
    ],
    ids=["none", "odd", "empty image"],
)
def test_rows_no_trainer_reads(entry: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The export stops at such a row and names it, rather than hand it on."""
    if said.endswith("none"):
        entry = {**entry, "messages": []}
    dataset = saved(tmp_path / "dataset", {"train": [row(1), entry]})
    with pytest.raises(FatalError, match=re.escape(said)) as raised:
        export(str(dataset), "llama_factory", str(tmp_path / "out"))
    assert str(raised.value).startswith("train, row 1 (id 's/0.a')")
    assert not (tmp_path / "out" / "export.json").exists()


def test_damaged_datasets_are_named(tmp_path: Path) -> None:
    """A shard that is cut short or gone, or an index that is no JSON, stops the export with the file's name."""
    dataset = saved(tmp_path / "dataset")
    shard = dataset / "train" / "data-00000-of-00001.arrow"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(FatalError, match=re.escape(f"{shard}: damaged")):
        export(str(dataset), "parquet", str(tmp_path / "out"))
    shard.unlink()
    with pytest.raises(FatalError, match=re.escape(f"{shard}: missing")):
        export(str(dataset), "parquet", str(tmp_path / "out"))
    (dataset / "train" / "state.json").write_text("{")
    with pytest.raises(FatalError, match=r"state\.json: is no JSON"):
        export(str(dataset), "parquet", str(tmp_path / "out"))
    (dataset / "train" / "state.json").unlink()
    with pytest.raises(FatalError, match=r"state\.json: missing"):
        export(str(dataset), "parquet", str(tmp_path / "out"))


def test_other_columns(tmp_path: Path) -> None:
    """A dataset without Showtell's columns is refused."""
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_dict({"id": ["a"], "text": ["b"]})}).save_to_disk(str(tmp_path / "dataset"))
    assert "has no column images, messages" in refused(tmp_path / "dataset", "llava", tmp_path / "out")
