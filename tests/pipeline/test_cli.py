"""The command line: exit codes, one line a mistake, numbers that add up, no traceback."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import DONE, FAILED, INCOMPLETE, WRONG
from tests.pipeline.runs import (
    PROBES,
    ROOT,
    run_inline,
    showtell,
    showtell_process,
    status,
    tree,
    write_config,
    write_source,
)

LENGTH = {"use": f"{PROBES}Length"}
PICKY = {"use": f"{PROBES}Picky"}


def configured(folder: Path, captions: Sequence[str], stages: Sequence[Mapping[str, Any]], **more: Any) -> str:
    """Write a source and a config."""
    write_source(folder, captions)
    return str(write_config(folder, stages, **more))


# --- run -------------------------------------------------------------------------------------------------------------


def test_run_ends_with_the_funnel(tmp_path: Path) -> None:
    """A run prints what became of the rows and where the card is."""
    config = configured(tmp_path, ["a", "reject", "b"], [PICKY, LENGTH, {"use": f"{PROBES}Talk"}, {"use": "shards"}])
    ended = showtell("run", config, "--runner", "inline")
    assert (ended.returncode, ended.stderr) == (DONE, "")
    assert "unwanted 1" in ended.stdout
    assert f"dataset card: {tmp_path}/run/dataset/README.md" in ended.stdout
    again = showtell("run", config, "--runner", "inline")
    assert again.returncode == DONE


def test_run_that_cannot_go_on(tmp_path: Path) -> None:
    """A model that does not load is one line and exit 1."""
    config = configured(tmp_path, ["a"], [{"use": f"{PROBES}NeverOpens"}])
    ended = showtell("run", config, "--runner", "inline")
    assert (ended.returncode, ended.stderr) == (FAILED, "error: never_opens: model = nowhere: no such model\n")


def test_run_with_parts_given_up(tmp_path: Path) -> None:
    """A part that cannot be committed is named, and the exit code says the run is not whole."""
    config = configured(tmp_path, ["a"] * 8, [LENGTH, {"use": f"{PROBES}Talk"}, {"use": "shards"}])
    result, _ = run_inline(Path(config))
    folder = tmp_path / "run" / result.view.plan.steps[0].folder
    (folder / "00001.json").unlink()
    (folder / "00001.arrow").unlink()
    (folder / "00001.arrow").mkdir()
    ended = showtell("run", config, "--runner", "inline")
    assert (ended.returncode, ended.stderr) == (INCOMPLETE, "")
    assert "given up: length: part 1: IsADirectoryError" in ended.stdout
    funnel = status(tmp_path / "run")
    assert list(funnel["stages"][1]["given_up"]) == ["1"]
    assert funnel["sinks"]["shards"]["samples"] == 4
    assert "4 source rows are in parts that could not be processed" in (tmp_path / "run/dataset/README.md").read_text()


def test_run_with_every_part_given_up(tmp_path: Path) -> None:
    """Even when nothing is left, barrier and dataset end well, and the exit code tells."""
    stages = [LENGTH, {"use": f"{PROBES}AboveAverage"}, {"use": f"{PROBES}Talk"}, {"use": "shards"}]
    config = configured(tmp_path, ["a"] * 2, stages)
    result, _ = run_inline(Path(config), "length.scale=2")
    folder = tmp_path / "run" / result.view.plan.steps[0].folder
    (folder / "00000.json").unlink()
    (folder / "00000.arrow").unlink()
    (folder / "00000.arrow").mkdir()
    ended = showtell("run", config, "--runner", "inline", "--set", "length.scale=2")
    assert (ended.returncode, ended.stderr) == (INCOMPLETE, "")


def test_until(tmp_path: Path) -> None:
    """A run can stop after a stage and be finished later."""
    config = configured(tmp_path, ["a", "b"], [LENGTH, {"use": f"{PROBES}Width"}])
    assert showtell("run", config, "--runner", "inline", "--until", "length").returncode == DONE
    assert [path.name.split("-")[0] for path in (tmp_path / "run" / "stages").iterdir()] == ["length"]
    assert showtell("run", config, "--runner", "inline").returncode == DONE
    assert len(list((tmp_path / "run" / "stages").iterdir())) == 2


WRONG_COMMANDS = {
    "until": (["--until", "lenght"], "--until: --until = lenght: no such stage (did you mean length?)"),
    "runner": (["--runner", "bogus"], "command line: --runner = bogus: must be ray or inline"),
    "set": (["--set", "length"], "--set: length: must be KEY=VALUE"),
    "run dir": (["--run-dir", "s33://bucket"], "run_dir = 's33://bucket': Protocol not known: s33"),
}


@pytest.mark.parametrize(("options", "line"), WRONG_COMMANDS.values(), ids=WRONG_COMMANDS)
def test_wrong_option(tmp_path: Path, options: list[str], line: str) -> None:
    """A wrong option is one line, exit 2, and nothing has begun."""
    config = configured(tmp_path, ["a"], [LENGTH])
    ended = showtell("run", config, *options)
    assert ended.returncode == WRONG
    assert ended.stderr.endswith(f"{line}\n")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_source_that_cannot_be_read(tmp_path: Path) -> None:
    """What only reading the source shows is the user's mistake too."""
    config = configured(tmp_path, [], [LENGTH])
    ended = showtell("run", config, "--runner", "inline")
    assert ended.returncode == WRONG
    assert ended.stderr == f"source: source.path = {tmp_path}/pairs.jsonl: holds no rows\n"


def test_two_runs_in_one_directory(tmp_path: Path) -> None:
    """The second run on a run directory ends at once and harms nothing."""
    config = configured(tmp_path, ["a"], [LENGTH])
    run_inline(Path(config))
    before = tree(tmp_path / "run")
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = showtell("run", config, "--runner", "inline", "--set", "length.scale=3")
    assert ended.returncode == FAILED
    assert ended.stderr == f"error: {tmp_path}/run: another run is using this run directory\n"
    assert tree(tmp_path / "run") == before


def test_run_directory_that_cannot_be(tmp_path: Path) -> None:
    """A run directory that cannot be made is one line."""
    config = configured(tmp_path, ["a"], [LENGTH])
    (tmp_path / "file").touch()
    ended = showtell("run", config, "--runner", "inline", "--run-dir", str(tmp_path / "file" / "run"))
    assert ended.returncode == FAILED
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1


def test_mistakes_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The real command: every mistake on stderr, one line each, exit 2, nothing on stdout."""
    config = configured(tmp_path, ["a"], [{"use": "filtr"}, {**LENGTH, "scael": 1}])
    ended = showtell_process("check", config)
    assert (ended.returncode, ended.stdout) == (WRONG, "")
    assert ended.stderr == (
        f"{config}: stages[0].use = filtr: unknown stage (did you mean filter?)\n"
        f"{config}: stages[1].scael = 1: unknown key (did you mean scale?)\n"
    )


def test_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C ends with exit 1 and one line, and what was committed stays."""
    log = tmp_path / "log"
    config = configured(tmp_path, ["a"] * 40, [{**LENGTH, "log": str(log), "sleep_s": 0.2}], part_rows=1)
    run = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", config, "--runner", "inline"], cwd=ROOT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and run.poll() is None and not (log.exists() and log.read_text().count("\n") > 1):
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == FAILED
    assert err == "error: stopped; the same command goes on from here\n"
    assert 1 <= len(list((tmp_path / "run" / "stages").rglob("*.json"))) < 40


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_starts_nothing(tmp_path: Path) -> None:
    """check shows each step with what it reads, adds and needs, and makes no run directory."""
    config = configured(tmp_path, ["a"], [{**LENGTH, "cpus": 0.5, "actors": [1, 4]}, {"use": f"{PROBES}Talk"}])
    before = tree(tmp_path)
    ended = showtell("check", config)
    assert (ended.returncode, ended.stderr) == (DONE, "")
    for shown in ("captions (source)", "length (length)", "0.5 CPU", "1-4", "conversations_of_talk"):
        assert shown in ended.stdout
    assert tree(tmp_path) == before
    assert not (tmp_path / "run").exists()


def test_check_tells_what_is_done(tmp_path: Path) -> None:
    """After a run, check says how many parts each stage has."""
    config = configured(tmp_path, ["a"] * 8, [LENGTH])
    run_inline(Path(config))
    assert "2/2" in showtell("check", config).stdout
    assert "0/2" in showtell("check", config, "--set", "length.scale=2").stdout


def test_check_with_brackets_in_the_path(tmp_path: Path) -> None:
    """A run directory whose name looks like markup is shown as it is called."""
    config = configured(tmp_path, ["a"], [LENGTH], run_dir="runs/[/red]")
    ended = showtell("check", config)
    assert ended.returncode == DONE
    assert "runs/[/red]" in "".join(ended.stdout.split())


# --- status ----------------------------------------------------------------------------------------------------------


def test_status_adds_up(tmp_path: Path) -> None:
    """At every stage rows in = kept + rejected, and the next stage gets what was kept."""
    (tmp_path / "wanted").write_text("a\nb\nccc\n")
    captions = ["a", "reject", "b", "raise", "ccc", "d", "a", "e"]
    stages = [
        PICKY, {"use": f"{PROBES}Choosy", "name": "choosy_one", "wanted": str(tmp_path / "wanted")}, LENGTH,
        {"use": "filter", "keep": "length < 3"}, {"use": f"{PROBES}Talk"}, {"use": "shards"},
    ]
    config = configured(tmp_path, captions, stages, part_rows=3)
    with (tmp_path / "pairs.jsonl").open("a") as source:
        source.write("{broken\n")
    assert showtell("run", config, "--runner", "inline").returncode == DONE
    funnel = status(tmp_path / "run")
    assert (funnel["rows"], funnel["parts"]) == (9, 3)
    lines = funnel["stages"]
    assert [line["stage"] for line in lines] == [
        "source", "picky", "choosy_one", "length", "filter", "talk", "shards",
    ]
    assert [line["rejected"] for line in lines] == [
        {"bad_row": 1}, {"unwanted": 1, "error": 1}, {"unwanted": 2}, {}, {"filtered": 1}, {}, {},
    ]
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        assert line["entered"] == line["kept"] + sum(line["rejected"].values())
        assert following is None or following["entered"] == line["kept"]
        assert line["parts"] == 3
    assert lines[2]["metrics"] == {"questions": 6}
    assert funnel["sinks"]["shards"]["samples"] == lines[-1]["kept"] == 3
    assert funnel["sinks"]["shards"]["rejected"] == 6
    shown = showtell("status", str(tmp_path / "run")).stdout
    assert "questions 6" in shown
    assert "bad_row 1" in shown


@pytest.mark.parametrize(("name", "more"), [("status", []), ("why", ["s0"]), ("retry", ["--only", "unwanted"])])
def test_a_folder_that_is_no_run(tmp_path: Path, name: str, more: list[str]) -> None:
    """A folder without a run, a file, and a URL nobody can open are exit 2."""
    (tmp_path / "file").touch()
    for place in (str(tmp_path), str(tmp_path / "nowhere"), str(tmp_path / "file"), "s33://bucket/run"):
        ended = showtell(name, place, *more)
        assert ended.returncode == WRONG
        assert ended.stderr.count("\n") == 1
        assert place in ended.stderr


# --- why -------------------------------------------------------------------------------------------------------------


def test_why(tmp_path: Path) -> None:
    """why tells what each stage did with a sample: kept with values, rejected with reason, not reached."""
    config = configured(tmp_path, ["abc", "reject"], [PICKY, LENGTH])
    run_inline(Path(config))
    run_dir = str(tmp_path / "run")
    kept = json.loads(showtell("why", run_dir, "s0", "--json").stdout)
    assert [(chapter["stage"], chapter["state"]) for chapter in kept] == [
        ("source", "kept"), ("picky", "kept"), ("length", "kept"),
    ]
    assert kept[2]["values"] == {"length": 3}
    assert kept[0]["values"]["captions"] == ["abc"]
    shown = showtell("why", run_dir, "s1")
    assert shown.returncode == DONE
    assert "picky: rejected unwanted: it said so" in shown.stdout
    assert "length: not reached" in shown.stdout
    unknown = showtell("why", run_dir, "s9")
    assert (unknown.returncode, unknown.stderr) == (WRONG, f"{run_dir}: SAMPLE_ID = s9: no sample has this id\n")


# --- retry -----------------------------------------------------------------------------------------------------------


def test_retry_does_only_the_rows_named(tmp_path: Path) -> None:
    """After the world has changed, the rejected rows and what follows from them are done again, and nothing else."""
    wanted, log = tmp_path / "wanted", tmp_path / "log"
    wanted.write_text("a\n")
    stages = [{"use": f"{PROBES}Choosy", "wanted": str(wanted)}, {**LENGTH, "log": str(log)}]
    config = configured(tmp_path, ["a", "b", "a", "c", "a", "b"], stages)
    run_inline(Path(config))
    log.write_text("")
    wanted.write_text("a\nb\n")
    run_dir = str(tmp_path / "run")
    ended = showtell("retry", run_dir, "--only", "unwanted", "--runner", "inline")
    assert ended.returncode == DONE
    assert "trying 3 rows again" in ended.stdout
    assert log.read_text().split() == ["length", "s1", "length", "s5"]
    funnel = json.loads(showtell("status", run_dir, "--json").stdout)
    assert funnel["stages"][1]["metrics"] == {"questions": 3}
    assert funnel["stages"][1]["rejected"] == {"unwanted": 1}
    assert funnel["stages"][2]["entered"] == 5


def test_retry_counts_what_status_shows(tmp_path: Path) -> None:
    """Rows that are remembered but were rejected earlier this time are not promised."""
    wanted = tmp_path / "wanted"
    wanted.touch()
    choosy = {"use": f"{PROBES}Choosy", "wanted": str(wanted)}
    stages = [LENGTH, {"use": "filter", "keep": "length > 0"}, choosy]
    config = configured(tmp_path, ["a", "bb", "ccc"], stages)
    run_inline(Path(config))
    run_inline(Path(config), "filter.keep=length > 2")
    assert "trying 1 rows again" in showtell(
        "retry", str(tmp_path / "run"), "--only", "unwanted", "--runner", "inline"
    ).stdout


def test_retry_of_an_unknown_reason(tmp_path: Path) -> None:
    """A reason no row was rejected for is a mistake, and the nearest one is named."""
    config = configured(tmp_path, ["a", "reject"], [PICKY])
    run_inline(Path(config))
    before = tree(tmp_path / "run")
    ended = showtell("retry", str(tmp_path / "run"), "--only", "unwantd,error", "--runner", "inline")
    assert ended.returncode == WRONG
    assert ended.stderr.splitlines() == [
        "retry: --only = unwantd: no stage has rejected a row for this (did you mean unwanted?)",
        "retry: --only = error: no stage has rejected a row for this (valid: unwanted)",
    ]
    none = showtell("retry", str(tmp_path / "run"), "--only", ",", "--runner", "inline")
    assert (none.returncode, none.stderr) == (WRONG, "retry: --only: names no reason (valid: unwanted)\n")
    bogus = showtell("retry", str(tmp_path / "run"), "--only", "unwanted", "--runner", "bogus")
    assert bogus.returncode == WRONG
    assert tree(tmp_path / "run") == before


# --- lint ------------------------------------------------------------------------------------------------------------


def test_lint(tmp_path: Path) -> None:
    """A sound dataset is exit 0, a damaged one names the shard and is exit 1, a wrong path is exit 2; --json agrees."""
    run_inline(Path(configured(tmp_path, ["a", "b"], [LENGTH, {"use": f"{PROBES}Talk"}, {"use": "shards"}])))
    dataset = tmp_path / "run" / "dataset"
    fine = showtell("lint", str(dataset))
    assert fine.returncode == DONE
    assert "0 errors" in fine.stdout
    assert json.loads(showtell("lint", str(dataset), "--json").stdout)["sound"] is True
    shard = dataset / "train" / "data-00000.arrow"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    damaged = showtell("lint", str(dataset))
    assert damaged.returncode == FAILED
    assert "train/data-00000.arrow: sha256: damaged" in damaged.stdout
    told = showtell("lint", str(dataset), "--json")
    assert (told.returncode, json.loads(told.stdout)["problems"][0]["check"]) == (FAILED, "sha256")
    wrong = showtell("lint", str(tmp_path / "run"))
    assert wrong.returncode == WRONG
    assert f"did you mean {tmp_path}/run/dataset?" in wrong.stderr


def test_help_is_there() -> None:
    """Every command is listed with what it does."""
    shown = showtell("--help").stdout
    assert all(name in shown for name in ("run", "check", "status", "retry", "why"))
