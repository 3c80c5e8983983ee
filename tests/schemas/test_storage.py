"""Files that are there whole or not at all, on a disk and on an object store."""

from __future__ import annotations

import os
import pickle
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from schemas.storage import Storage
from tests.pipeline.runs import tree

TABLE = pa.table({"number": [1, None, 3], "text": ["a", "ü", None], "vector": [[0.5], [], None]})


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A new folder on a disk, and one in fsspec's memory, which behaves as an object store."""
    return Storage(str(tmp_path / "run") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_read_what_was_written(storage: Storage) -> None:
    """Bytes come back, folders are made on the way, and a second write replaces the first."""
    storage.write("a/b/file", b"old and long")
    storage.write("a/b/file", b"new")
    assert storage.read("a/b/file") == b"new"
    assert storage.exists("a/b/file")
    with storage.open("a/b/file") as file:
        assert file.read() == b"new"


def test_names_are_sorted(storage: Storage) -> None:
    """A folder's names come in order, without its path; a folder that is not there has none."""
    for name in ("part/10", "part/9", "part/a", "part/1"):
        storage.write(name, b"")
    assert storage.names("part") == ["1", "10", "9", "a"]
    assert storage.names("nowhere") == []
    assert storage.names() == ["part"]


def test_folder_is_a_storage(storage: Storage) -> None:
    """A folder's files are the same seen from it and from above."""
    storage.folder("deep/er").write("file", b"x")
    assert storage.read("deep/er/file") == b"x"
    assert storage.folder("deep").names() == ["er"]


def test_json(storage: Storage) -> None:
    """JSON comes back; what is missing, or was emptied by a power cut, is None."""
    storage.write_json("value.json", {"b": [1], "a": "ü"})
    assert storage.read_json("value.json") == {"a": "ü", "b": [1]}
    storage.write("empty.json", b"", durable=False)
    assert storage.read_json("empty.json") is None
    assert storage.read_json("nowhere.json") is None


def test_tables(storage: Storage) -> None:
    """Tables come back, whole or some of their columns; missing files are an error, not an empty table."""
    storage.write_table("t.arrow", TABLE)
    assert storage.read_table("t.arrow").equals(TABLE)
    assert storage.read_table("t.arrow", ["text"]).equals(TABLE.select(["text"]))
    storage.write_table("none.arrow", TABLE.slice(0, 0))
    assert storage.read_table("none.arrow").schema == TABLE.schema
    with pytest.raises(FileNotFoundError):
        storage.read("nowhere")


def test_equal_tables_give_equal_bytes(storage: Storage) -> None:
    """However a table is cut into chunks, its file is the same."""
    storage.write_table("whole", TABLE)
    storage.write_table("pieces", pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 0), TABLE.slice(1)]))
    assert storage.read("whole") == storage.read("pieces")


def test_remove(storage: Storage) -> None:
    """Files and folders go; to remove what is not there is no mistake."""
    storage.write("folder/file", b"x")
    storage.remove("folder")
    storage.remove("folder")
    assert not storage.exists("folder/file")


def test_travels_to_another_process(storage: Storage) -> None:
    """A pickled storage is the same folder."""
    storage.write("file", b"x")
    assert pickle.loads(pickle.dumps(storage)).read("file") == b"x"


def test_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, readers still find the old bytes, and no temporary file stays."""
    storage = Storage(str(tmp_path))
    storage.write("file", b"old")

    def full(_descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        storage.write("file", b"new")
    assert tree(tmp_path) == {"file": b"old"}


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    """A rename that cannot be done leaves no temporary file either."""
    storage = Storage(str(tmp_path))
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        storage.write("file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


class CountingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A remote file system that counts the bytes that are fetched."""

    protocol = "counting"
    fetched = 0

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **options: Any) -> Any:
        class Counting(MemoryFile):  # type: ignore[misc]
            def read(self, size: int = -1) -> bytes:
                data: bytes = super().read(size)
                CountingFileSystem.fetched += len(data)
                return data

        file = super()._open(path, mode, block_size, **options)
        return Counting(self, path, file.getvalue()) if mode == "rb" else file


def test_remote_columns_are_fetched_alone() -> None:
    """Of a remote file with pictures in it, a narrow column takes as many bytes as it has, and the description."""
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    storage = Storage("counting://columns")
    pictures = pa.table({"picture": [os.urandom(100_000)] * 50, "width": range(50), "height": range(50, 100)})
    storage.write_table("part.arrow", pictures)
    CountingFileSystem.fetched = 0
    assert storage.read_table("part.arrow", ["height", "width"]) == pictures.select(["height", "width"])
    assert CountingFileSystem.fetched < 10_000
    assert storage.read_table("part.arrow") == pictures
    assert CountingFileSystem.fetched > 5_000_000
