"""push: a dataset to a hub, through the hub's own client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.cli import DONE, FAILED, WRONG
from pipeline.export.run import export
from tests.pipeline.export.finished import mixed, row, saved
from tests.pipeline.export.hub_server import TOKEN, Hub, hub_server
from tests.pipeline.runs import showtell_process, tree


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub on this machine."""
    with hub_server() as served:
        yield served


def push(hub: Hub, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command, logged in; large files go the way that needs no storage service beside the hub."""
    settings = {"HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return showtell_process("push", *arguments, **{**settings, **environment})


def test_push(hub: Hub, tmp_path: Path) -> None:
    """One commit has the Parquet form; an unchanged dataset sends no shard again, a new one replaces it."""
    dataset = saved(tmp_path / "dataset")
    done = push(hub, str(dataset), "tester/boats")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert f"uploaded: {hub.address}/datasets/tester/boats/commit/" in done.stdout
    export(str(dataset), "parquet", str(tmp_path / "expected"))
    assert hub.files["tester/boats"] == tree(tmp_path / "expected")
    assert hub.private == {"tester/boats": False}
    assert len(hub.commits["tester/boats"]) == 1
    sent = len(hub.uploads)
    assert sent == 2
    assert push(hub, str(dataset), "tester/boats").returncode == DONE
    assert len(hub.uploads) == sent
    smaller = saved(tmp_path / "smaller", {"train": [row(0)]})
    assert push(hub, str(smaller), "tester/boats", "--to", str(tmp_path / "elsewhere")).returncode == DONE
    assert (tmp_path / "elsewhere" / "export.json").exists()
    shards = [name for name in hub.files["tester/boats"] if name.endswith(".parquet")]
    assert shards == ["data/train-00000-of-00001.parquet"]


def test_private_and_an_export_as_it_is(hub: Hub, tmp_path: Path) -> None:
    """A Parquet export is pushed from where it is; --private makes a private repository."""
    folder = tmp_path / "exported"
    export(str(saved(tmp_path / "dataset")), "parquet", str(folder), max_shard_bytes=20_000)
    assert push(hub, str(folder), "tester/boats", "--private").returncode == DONE
    assert hub.files["tester/boats"] == tree(folder)
    assert hub.private == {"tester/boats": True}
    assert not (tmp_path / "exported-parquet").exists()


def test_dry_run(hub: Hub, tmp_path: Path) -> None:
    """--dry-run lists each file with its bytes, and asks the hub nothing."""
    dataset = saved(tmp_path / "dataset")
    done = push(hub, str(dataset), "tester/boats", "--dry-run", HF_TOKEN="", HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stderr) == (DONE, "")
    folder = tmp_path / "dataset-parquet"
    *lines, last = done.stdout.splitlines()
    assert last == "nothing was uploaded"
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines}
    assert listed == {name: len(content) for name, content in tree(folder).items()}
    assert hub.files == {}
    assert pq.read_table(folder / "data").num_rows == sum(len(rows) for rows in mixed().values())


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HF_TOKEN": "", "HF_HOME": "/nonexistent"}, "error: the hub needs a token: `hf auth login`, or set HF_TOKEN"),
        ({"HF_TOKEN": "hf_wrong"}, "error: hub: "),
        ({"HF_HUB_OFFLINE": "1"}, "error: hub: "),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "error: hub: "),
    ],
    ids=["no token", "wrong token", "offline", "no hub"],
)
def test_a_hub_that_refuses(hub: Hub, tmp_path: Path, environment: dict[str, str], said: str) -> None:
    """No token, a wrong one, offline, nobody there: one line, before any work."""
    dataset = saved(tmp_path / "dataset")
    failed = push(hub, str(dataset), "tester/boats", **environment)
    assert failed.returncode == FAILED
    assert failed.stderr.startswith(said)
    assert failed.stderr.count("\n") == 1
    assert not (tmp_path / "dataset-parquet").exists()


def test_an_upload_that_fails(hub: Hub, tmp_path: Path) -> None:
    """What the hub cannot store ends in one line, with no commit."""
    hub.refuse = 507
    failed = push(hub, str(saved(tmp_path / "dataset")), "tester/boats")
    assert failed.returncode == FAILED
    assert failed.stderr.startswith("error: hub: ")
    assert failed.stderr.count("\n") == 1
    assert hub.files["tester/boats"] == {}


def test_a_name_no_repository_has(hub: Hub, tmp_path: Path) -> None:
    """A wrong name is a mistake in the command line."""
    wrong = push(hub, str(tmp_path), "a/b/c")
    assert wrong.returncode == WRONG
    assert wrong.stderr.startswith("command line: REPO_ID = a/b/c: ")
    assert wrong.stderr.count("\n") == 1
