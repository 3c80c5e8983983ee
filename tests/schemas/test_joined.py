"""Many Arrow files read as one, on a disk and on an object store."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.joined import read_joined
from schemas.storage import BLOCK, Storage


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A new folder on a disk, and one in fsspec's memory, which behaves as an object store."""
    return Storage(str(tmp_path / "run") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def part(number: int, picture_bytes: int = 10) -> pa.Table:
    """Return a part with columns of several kinds and some nulls."""
    return pa.table({
        "id": [f"{number}-{row}" for row in range(3)],
        "picture": [os.urandom(picture_bytes), None, b""],
        "score": pa.array([number / 7, None, -1], pa.float32()),
        "words": [[number], None, []],
        "_live": [True, False, number % 2 == 0],
    })


def write(storage: Storage, parts: list[pa.Table]) -> list[str]:
    """Write parts and return their names."""
    names = [f"{number}.arrow" for number in range(len(parts))]
    for name, table in zip(names, parts, strict=True):
        storage.write_table(name, table)
    return names


def test_columns_of_many_files(storage: Storage) -> None:
    """Small files, large ones and such of another schema give the rows that they give one by one, a chunk each."""
    parts = [part(number, 2 * BLOCK if number in (2, 5) else 10) for number in range(7)]
    parts[3] = parts[3].append_column("more", pa.array([1, 2, 3]))
    names = write(storage, parts)
    columns = ["_live", "words", "score"]
    joined = read_joined(storage, names, columns)
    assert joined.equals(pa.concat_tables([table.select(columns) for table in parts]))
    assert [len(chunk) for chunk in joined["score"].chunks] == [3] * 7


@pytest.mark.parametrize("damage", [b"", b"ARROW1", b"ARROW1\0\0ARROW1"], ids=["empty", "cut", "hollow"])
def test_damaged_file(storage: Storage, damage: bytes) -> None:
    """A file that is no whole Arrow file is an error, whatever stands beside it."""
    names = write(storage, [part(0), part(1), part(2)])
    storage.write(names[1], damage)
    with pytest.raises((OSError, ValueError)):
        read_joined(storage, names, ["score"])


def test_damage_inside(storage: Storage) -> None:
    """A batch whose description is overwritten is an error."""
    names = write(storage, [part(0), part(1), part(2)])
    good = storage.read(names[1])
    batch = good.index(b"\xff\xff\xff\xff", 12)
    storage.write(names[1], good[: batch + 4] + b"\xff" * 200 + good[batch + 204 :])
    with pytest.raises((OSError, ValueError)):
        read_joined(storage, names, ["score"])


def test_missing_file_and_column(storage: Storage) -> None:
    """Both are errors that name what is missing."""
    names = write(storage, [part(0), part(1)])
    with pytest.raises(FileNotFoundError, match=r"9\.arrow"):
        read_joined(storage, [*names, "9.arrow"], ["score"])
    with pytest.raises(ValueError, match="nowhere"):
        read_joined(storage, names, ["nowhere"])


def test_no_descriptors_are_kept(tmp_path: Path) -> None:
    """Columns of large local files are copies: the files are closed."""
    storage = Storage(str(tmp_path))
    names = write(storage, [part(number, 2 * BLOCK) for number in range(5)])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    tables = [read_joined(storage, [name], ["score"]) for name in names]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert len(tables) == 5
