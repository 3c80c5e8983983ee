"""Makes sources, configs and runs for tests of the machinery."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from pipeline.cli import main
from pipeline.config import load_config
from pipeline.execute import Result, execute
from pipeline.inline_runner import InlineRunner
from pipeline.plan import make_plan
from pipeline.worker import Outcome

ROOT = Path(__file__).resolve().parents[2]
PROBES = "tests.pipeline.probes:"


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def begin(self, names: Sequence[str], parts: int) -> None:
        """Nothing to show."""

    def done(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        self.outcomes.append(outcome)

    def sink(self, name: str) -> None:
        """Nothing to show."""

    def sink_told(self, name: str, line: str) -> None:
        """Nothing to show."""

    def sink_done(self, name: str) -> None:
        """Nothing to show."""


def write_source(folder: Path, captions: Sequence[str]) -> Path:
    """Write a source of one caption a sample."""
    file = folder / "pairs.jsonl"
    rows = ({"id": f"s{number}", "captions": [caption]} for number, caption in enumerate(captions))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def write_config(folder: Path, stages: Sequence[Mapping[str, Any]], *, part_rows: int = 4, **more: Any) -> Path:
    """Write a config for ``pairs.jsonl`` beside it."""
    source = {"kind": "table", "path": "pairs.jsonl", "part_rows": part_rows}
    config = {"name": "test", "run_dir": "run", "source": source, "stages": list(stages)} | more
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


def run_inline(config: Path, *settings: str) -> tuple[Result, Quiet]:
    """Run a config in this process."""
    loaded = load_config(str(config), settings)
    watcher = Quiet()
    return execute(loaded, make_plan(loaded), InlineRunner(), watcher), watcher


def showtell(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process; one of its own would take two seconds to start."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["showtell", *arguments]), mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended,
    ):
        main()
    assert "Traceback" not in err.getvalue()
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def status(run_dir: Path) -> dict[str, Any]:
    """Return what ``status --json`` tells of a run."""
    told: dict[str, Any] = json.loads(showtell("status", str(run_dir), "--json").stdout)
    return told


def showtell_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240,
        check=False, env={**os.environ, **environment},
    )


def without_cost(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return files with each card cut where it tells seconds, which differ between equal runs."""
    return {
        name: data.split(b"## Cost and time")[0] if name.endswith("README.md") else data for name, data in files.items()
    }


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
