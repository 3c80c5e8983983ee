"""Tar files of samples, img2dataset's above all, become the canonical source, and no archive can do harm."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import tarfile
import tracemalloc
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.sources import read_source
from pipeline.sources.canonical import SourceRow
from schemas.errors import ConfigError
from tests.pipeline.test_sources import configured, ingested, read
from tests.stages.servers import Answer, serve


def jpeg(colour: str = "red") -> bytes:
    """Return a picture."""
    file = io.BytesIO()
    Image.new("RGB", (80, 60), colour).save(file, "JPEG")
    return file.getvalue()


def plain(name: str, data: bytes = b"x", **header: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member; ``header`` overrides what its header says."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in header.items():
        setattr(member, key, value)
    return member, data


def write_tar(file: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.GNU_FORMAT) -> None:
    """Write a tar file, headers as they are: tarfile's own writer would refuse some."""
    with file.open("wb") as out:
        for member, data in members:
            out.write(member.tobuf(format))
            out.write(data + b"\0" * (-len(data) % 512))
        out.write(b"\0" * 1024)


def samples(file: Path, *members: tuple[tarfile.TarInfo, bytes], **settings: Any) -> list[SourceRow]:
    """Write a tar file and read it."""
    write_tar(file, members)
    return read(file.parent, file.name, kind="webdataset", **settings)


def ids(rows: Iterable[SourceRow]) -> list[tuple[str, bool]]:
    """Return each row's id, and whether it can be used."""
    return [(row.values["id"], row.reject is None) for row in rows]


# --- img2dataset -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what img2dataset's own downloader writes of six URLs: two shards in each of its formats."""
    from img2dataset.downloader import Downloader
    from img2dataset.resizer import Resizer
    from img2dataset.writer import FilesSampleWriter, ParquetSampleWriter, WebDatasetSampleWriter

    folder = tmp_path_factory.mktemp("img2dataset")
    writers = {"webdataset": WebDatasetSampleWriter, "parquet": ParquetSampleWriter, "files": FilesSampleWriter}
    with serve() as site:
        rows = [
            {"source": "x", "caption": f"a {colour} square", "url": site.add(f"/{colour}.jpg", Answer(jpeg(colour)))}
            for colour in ("red", "green", "blue", "black")
        ]
        rows.insert(1, {"source": "y", "caption": "gone", "url": f"{site.url}/gone"})
        rows.append({"source": "z", "caption": None, "url": site.add("/text", Answer(b"hello"))})
        for name, writer in writers.items():
            (folder / name).mkdir()
            download = Downloader(
                writer, Resizer(64, "keep_ratio", False), 1, True, True, str(folder / name), list(rows[0]), 5, 4, 5,
                "sha256", None, "jpg", 0, None, None,
            )
            for shard in (0, 1):
                table = pa.Table.from_pylist(rows[4 * shard : 4 * shard + 4])
                with pa.ipc.new_file(str(folder / "shard.arrow"), table.schema) as out:
                    out.write_table(table)
                download.download_shard((shard, str(folder / "shard.arrow")))
    return folder


PATHS = {
    "webdataset": {"kind": "webdataset", "path": "webdataset"},
    "parquet": {"path": "parquet/*.parquet"},
    "files": {"path": "files/*.parquet"},
}


@pytest.mark.parametrize("settings", PATHS.values(), ids=PATHS)
def test_img2dataset(downloaded: Path, settings: dict[str, Any]) -> None:
    """All three outputs give the same six rows: four with their picture, two with a URL that is still to fetch."""
    rows = {row.values["id"]: row for row in read(downloaded, **settings)}
    assert sorted(rows) == ["000000", "000001", "000002", "000003", "000010", "000011"]
    assert [name for name, row in rows.items() if row.reject] == []
    assert {name for name, row in rows.items() if not row.values.get("image")} == {"000001", "000011"}
    assert rows["000001"].values["image_url"].endswith("/gone")
    assert rows["000011"].values.get("captions") is None
    red = rows["000000"].values
    assert red["captions"] == ["a red square"]
    assert red["image_url"].endswith("/red.jpg")
    data = red["image"]["bytes"] or Path(red["image"]["path"]).read_bytes()
    assert Image.open(io.BytesIO(data)).size == (85, 64)
    extra = json.loads(red["extra"])
    assert (extra["status"], extra["source"], extra["original_width"]) == ("success", "x", 80)
    assert len(extra["sha256"]) == 64
    assert not extra.keys() & {"url", "caption", "key", "txt", "jpg"}


def test_img2dataset_tars_alone(downloaded: Path) -> None:
    """Named by themselves, the tar files give only what is in them."""
    rows = read(downloaded, "webdataset/*.tar", kind="webdataset")
    assert ids(rows) == [("000000", True), ("000002", True), ("000003", True), ("000010", True)]


def test_own_names_go_before_those_of_img2dataset(downloaded: Path) -> None:
    """A column the config names is taken from where it says."""
    settings = {"id": "sha256", "license": "source", "image": "jpg"}
    row = read(downloaded, "parquet/00000.parquet", columns=settings)[0]
    assert (len(row.values["id"]), row.values["license"]) == (64, "x")
    assert row.values["image"]["bytes"][:2] == b"\xff\xd8"


def test_dataset_names_the_url_of_a_picture_that_is_there(downloaded: Path, tmp_path: Path) -> None:
    """A row keeps its URL beside its picture, so that the dataset can tell where it is from."""
    row = ingested(tmp_path, str(downloaded / "webdataset"), kind="webdataset")[0]
    assert row["image"]["bytes"] is not None
    assert row["image_url"].endswith("/red.jpg")


# --- samples ---------------------------------------------------------------------------------------------------------


def test_sample_of_many_members(tmp_path: Path) -> None:
    """Picture, recording, caption and metadata are understood; small text is kept, of other files the size."""
    (row,) = samples(
        tmp_path / "a.tar", plain("./a/one.JPG", b"jpg"), plain("a/one.flac", b"flac"), plain("a/one.txt", b"a dog"),
        plain("a/one.json", json.dumps({"caption": "a big dog", "score": 2, "license": "CC0"}).encode()),
        plain("a/one.cls", b"7"), plain("a/one.seg.png", b"mask"), plain("a/one.npy", b"\x93\xff"),
        plain("a/one.big", b"y" * (1 << 20) + b"y"),
    )
    assert row.reject is None
    extra = json.loads(row.values.pop("extra"))  # type: ignore[attr-defined]
    assert row.values == {
        "id": "a/one", "captions": ["a big dog", "a dog"], "license": "CC0",
        "image": {"bytes": b"jpg", "path": None}, "audio": {"bytes": b"flac", "path": None},
    }
    assert extra == {"score": 2, "cls": "7", "seg.png": "mask", "npy": "<2 bytes>", "big": "<1048577 bytes>"}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_every_kind_of_tar(tmp_path: Path, format: int, name: str) -> None:
    """Plain or gzipped, old or new, with folders, long names and names that are not ASCII."""
    key = f"{'d' * 90}/{'f' * 90}/é" if format != tarfile.USTAR_FORMAT else "d/e"
    with tarfile.open(tmp_path / name, "w:gz" if "gz" in name else "w", format=format) as out:
        out.addfile(plain("d", b"", type=tarfile.DIRTYPE)[0])
        for path, data in ((f"{key}.jpg", b"one"), (f"{key}.txt", b"text"), ("last.png", b"two")):
            member, data = plain(path, data)
            out.addfile(member, io.BytesIO(data))
    first, last = read(tmp_path, name, kind="webdataset")
    assert (first.values["id"], first.values["image"]["bytes"], first.values["captions"]) == (key, b"one", ["text"])
    assert (last.values["id"], last.values["image"]["bytes"]) == ("last", b"two")


def test_ids_stay_apart(tmp_path: Path) -> None:
    """A key that several archives use is numbered: shards often count from nought each."""
    for name in ("a", "b", "c"):
        write_tar(tmp_path / f"{name}.tar", [plain("0.jpg"), plain("1.jpg"), plain(f"{name}.jpg")])
    rows = ingested(tmp_path, "*.tar", kind="webdataset")
    assert [row["id"] for row in rows] == ["0", "1", "a", "0#2", "1#2", "b", "0#3", "1#3", "c"]
    assert all(row["_live"] for row in rows)


def test_folder_without_archives(tmp_path: Path) -> None:
    """A folder is searched for archives, also in its folders, and one without is a mistake."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"source\.path = \S+/in: holds no \.tar"):
        read(tmp_path, "in", kind="webdataset")
    write_tar(tmp_path / "in" / "deep" / "a.tar", [plain("0.jpg")])
    pq.write_table(pa.table({"any": [1]}), tmp_path / "in" / "deep" / "a.parquet")
    assert ids(read(tmp_path, "in", kind="webdataset")) == [("0", True)]


def test_failed_download_inside_an_archive(tmp_path: Path) -> None:
    """A sample without a picture but with its address is a row to be fetched."""
    metadata = {"url": "http://x/1.jpg", "status": "failed_to_download"}
    (row,) = samples(tmp_path / "a.tar", plain("1.json", json.dumps(metadata).encode()))
    assert row.reject is None
    assert (row.values["image_url"], row.values.get("image")) == ("http://x/1.jpg", None)


# --- hostile archives ------------------------------------------------------------------------------------------------

BAD_MEMBERS: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], str]] = {
    "absolute": ([plain("/etc/bad.jpg")], "/etc/bad.jpg is outside of its archive"),
    "upwards": ([plain("a/../../bad.jpg")], "a/../../bad.jpg is outside of its archive"),
    "link": ([plain("bad.jpg", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "bad.jpg is a link"),
    "hard link": ([plain("bad.jpg", b"", type=tarfile.LNKTYPE, linkname="good.jpg")], "bad.jpg is a link"),
    "device": ([plain("bad.jpg", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)], "bad.jpg is a device"),
    "pipe": ([plain("bad.jpg", b"", type=tarfile.FIFOTYPE)], "bad.jpg is a device"),
    "sparse": ([plain("bad.jpg", b"x" * 600, type=tarfile.GNUTYPE_SPARSE)], "bad.jpg is a sparse file"),
    "new sparse": ([plain("bad.jpg", pax_headers={"GNU.sparse.major": "1"})], "bad.jpg is a sparse file"),
    "twice": ([plain("bad.jpg"), plain("bad.JPG")], "bad.jpg stands twice"),
    "two pictures": ([plain("bad.jpg"), plain("bad.png")], "bad holds jpg and png"),
    "nothing": ([plain("bad.txt")], "bad holds neither image nor audio"),
    "not JSON": ([plain("bad.jpg"), plain("bad.json", b"{")], "bad.json is not JSON"),
    "deep JSON": ([plain("bad.jpg"), plain("bad.json", b"[" * 100_000)], "bad.json is not JSON"),
    "JSON list": ([plain("bad.jpg"), plain("bad.json", b"[]")], "bad.json is not a JSON object"),
    "not UTF-8": ([plain("bad.jpg"), plain("bad.txt", b"\xff")], "bad.txt is not UTF-8"),
    "long text": ([plain("bad.jpg"), plain("bad.txt", b"x" * (1 << 20) + b"x")], "bad.txt holds 1048577 bytes"),
    "long name": ([plain("b" * 600 + ".jpg")], "is called by 604 characters"),
    "many members": ([plain(f"bad.{number}") for number in range(1002)], "too many for a sample"),
    "bad value": ([plain("bad.jpg"), plain("bad.json", b'{"boxes": 1}')], "boxes = 1"),
}


@pytest.mark.parametrize(("members", "said"), BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_bad_sample_costs_one_row(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], said: str
) -> None:
    """What cannot be a sample is rejected by name; those around it are read."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as out:
        for member, data in [plain("good.jpg"), *members, plain("last.jpg")]:
            out.addfile(member, io.BytesIO(data))
    rows = ingested(tmp_path, "a.tar", kind="webdataset")
    assert [row["_reason"] for row in rows] == [None, "bad_row", None]
    assert [rows[0]["id"], rows[2]["id"]] == ["good", "last"]
    assert said in rows[1]["_detail"]


def test_metadata_cannot_name_files_of_this_machine(tmp_path: Path) -> None:
    """Neither JSON nor a member called like a column can say which file to read, or who the sample is."""
    metadata = {"id": "b", "image": "/etc/passwd", "audio": {"path": "/etc/passwd"}, "key": "c"}
    (row,) = samples(
        tmp_path / "a.tar", plain("a.png", b"png"), plain("a.audio", b"/etc/passwd"),
        plain("a.json", json.dumps(metadata).encode()),
    )
    assert (row.values["id"], row.values["image"]["bytes"], row.values.get("audio")) == ("a", b"png", None)
    assert json.loads(row.values["extra"]) == {
        ".audio": "/etc/passwd", "json.id": "b", "json.image": "/etc/passwd", "json.audio": {"path": "/etc/passwd"},
    }


@pytest.mark.parametrize("zipped", [False, True])
def test_cut_archive(tmp_path: Path, zipped: bool) -> None:
    """Wherever an archive is cut, the samples before are read and one row says where it breaks off."""
    write_tar(tmp_path / "whole.tar", [plain(f"{n}.{kind}", b"x" * 700) for n in range(4) for kind in ("jpg", "txt")])
    whole = (tmp_path / "whole.tar").read_bytes()
    if zipped:
        whole = gzip.compress(whole, 0)
    for end in range(600, len(whole) - 1024, 199):
        (tmp_path / "cut.tar").write_bytes(whole[:end])
        *sound, cut = read(tmp_path, "cut.tar", kind="webdataset")
        assert ids(sound) == [(str(number), True) for number in range(len(sound))]
        assert cut.reject is not None
        assert cut.reject.detail.startswith(f"cut.tar cannot be read from {len(sound)} on: ")


def test_damaged_archive(tmp_path: Path) -> None:
    """Whatever bytes are changed, reading ends with rows or a mistake."""
    write_tar(
        tmp_path / "whole.tar", [plain(f"{n}.jpg", pax_headers={"path": f"{n}.jpg", "size": "1"}) for n in range(3)],
        tarfile.PAX_FORMAT,
    )
    whole = (tmp_path / "whole.tar").read_bytes()
    chance = random.Random(0)
    for _ in range(250):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(whole) - 1024)
            damaged[at] = chance.choice([0, 48, 49, 57, 61, 120, 255, damaged[at] ^ 1])
        for start in range(0, len(damaged), 512):  # a checksum that fits lets the damage reach further
            if b"ustar" in damaged[start : start + 512] and chance.random() < 0.8:
                damaged[start + 148 : start + 156] = b" " * 8
                total = sum(damaged[start : start + 512])
                damaged[start + 148 : start + 156] = b"%06o\0 " % total
        (tmp_path / "a.tar").write_bytes(damaged)
        with suppress(ConfigError):
            assert len(read(tmp_path, "a.tar", kind="webdataset")) <= 4


def pax(data: bytes, size: int | None = None) -> tuple[tarfile.TarInfo, bytes]:
    """Return an extended header as it stands in the file."""
    return plain("pax", data, type=tarfile.XHDTYPE, **({} if size is None else {"size": size}))


EVIL_HEADERS: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {
    "huge": [pax(b"", 8 << 30)],
    "endless number": [pax(b"9" * (1 << 20))],
    "record of no length": [pax(b"0 a=b\n")],
    "record beyond its header": [pax(b"99 a=b\n")],
    "negative size": [pax(b"11 size=-5\n"), plain("a.jpg")],
    "size no number": [pax("12 size=²\n".encode()), plain("a.jpg")],
    "many": [pax(b"8 a=bcd\n") for _ in range(4000)],
    "many records": [pax(b"6 a=b\n" * 50_000)],
    "backwards": [plain("a.jpg", size=-2048)],
    "lie": [plain("a.jpg", b"x" * 100, size=1 << 40)],
    "lie and long": [plain("a.jpg", b"x" * 100, size=(1 << 63) - 1)],
    "shorter": [plain("a.jpg", b"x" * 2000, size=5)],
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("members", EVIL_HEADERS.values(), ids=EVIL_HEADERS)
def test_evil_headers(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Headers made to fill memory, to loop or to take for ever end quickly, and cost no more than the rest."""
    write_tar(tmp_path / "a.tar", [plain("good.jpg"), *members, plain("last.jpg")])
    tracemalloc.start()
    rows = read(tmp_path, "a.tar", kind="webdataset")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120 << 20
    assert ids(rows)[0][0] == "good"
    assert 1 <= len(rows) <= 3


def test_gzip_bomb(tmp_path: Path) -> None:
    """A picture of 300 MB of noughts is passed over without ever being in memory, and the next sample is read."""
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as out:
        out.write(plain("bomb.jpg", size=300 << 20)[0].tobuf())
        for _ in range(300):
            out.write(bytes(1 << 20))
        out.write(plain("good.jpg", size=512)[0].tobuf() + b"x" * 512 + bytes(1024))
    tracemalloc.start()
    bomb, good = read(tmp_path, "a.tar.gz", kind="webdataset")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bomb.reject is not None
    assert bomb.reject.detail == f"bomb.jpg holds {300 << 20} bytes, {256 << 20} allowed"
    assert good.values["id"] == "good"
    assert peak < 20 << 20


def test_memory_is_flat(tmp_path: Path) -> None:
    """An archive of 100 MB is read a sample at a time."""
    write_tar(tmp_path / "a.tar", (plain(f"{number}.jpg", bytes(1 << 20)) for number in range(100)))
    tracemalloc.start()
    assert sum(1 for _ in read_source(configured(tmp_path, "a.tar", kind="webdataset"))) == 100
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


NO_ARCHIVES = {
    "text": b"no archive" * 100, "short": b"x", "nothing": b"", "gzip of text": gzip.compress(b"hello" * 200),
    "broken gzip": b"\x1f\x8b\x08" + b"\0" * 600, "zip": b"PK\x03\x04" + bytes(700),
    "checksum": struct.pack("512s", b"a.jpg"),
}


@pytest.mark.parametrize("content", NO_ARCHIVES.values(), ids=NO_ARCHIVES)
def test_what_is_no_archive_is_a_mistake(tmp_path: Path, content: bytes) -> None:
    """A file that is no tar file as a whole is one line that names it."""
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, "a.tar", kind="webdataset")
    assert str(raised.value).startswith(f"{tmp_path / 'a.tar'}: source.path = {tmp_path / 'a.tar'}: cannot be read")
    assert "\n" not in str(raised.value)


def test_empty_archive(tmp_path: Path) -> None:
    """An archive without samples holds no rows."""
    write_tar(tmp_path / "a.tar", [])
    with pytest.raises(ConfigError, match="holds no rows"):
        ingested(tmp_path, "a.tar", kind="webdataset")
