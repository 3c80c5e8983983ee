"""What Showtell's engine costs beside plain Ray Data: 200 parts of 16 rows through four do-nothing stages.

Both chains run in turn inside one Ray, several times; the figure is the median of the ratios. Plain Ray Data gets
the same rows as blocks, the same number of actors, and does nothing to a batch. Showtell also writes the source,
reads each stage's columns, digests every row, and commits 800 parts with their reports.

    python -m bench.overhead [--rounds 5]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.config import load_config
from pipeline.execute import execute
from pipeline.plan import Plan, make_plan
from pipeline.ray_runner import RayRunner
from pipeline.worker import Outcome
from schemas.config import StageConfig
from stages.base import Stage

PARTS, PART_ROWS, STAGES = 200, 16, 4


class Nothing(Stage[StageConfig]):
    """Adds a column of ones."""

    name = "nothing"
    consumes = pa.schema([("captions", pa.list_(pa.string()))])
    produces = pa.schema([("one", pa.int64())])

    def process(self, batch: pa.Table) -> pa.Table:
        """Add a one to every row."""
        return pa.table({"one": [1] * batch.num_rows})


class PlainNothing:
    """The same as a Ray Data actor."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Add a one to every row, in place of the last stage's."""
        return pa.table({"captions": batch["captions"], "one": [1] * batch.num_rows})


class Silent:
    """A watcher that shows nothing."""

    def begin(self, names: Sequence[str], parts: int) -> None:
        """Ignore."""

    def done(self, outcome: Outcome) -> None:
        """Ignore."""

    def sink(self, name: str) -> None:
        """Ignore."""

    def sink_told(self, name: str, line: str) -> None:
        """Ignore."""

    def sink_done(self, name: str) -> None:
        """Ignore."""


def write_config(folder: Path) -> Path:
    """Write the source and the config of the chain."""
    rows = "".join(f'{{"id": "s{row}", "captions": ["a caption"]}}\n' for row in range(PARTS * PART_ROWS))
    (folder / "pairs.jsonl").write_text(rows)
    stages = "".join(f"  - {{use: 'bench.overhead:Nothing', name: stage{index}}}\n" for index in range(STAGES))
    config = folder / "config.yaml"
    config.write_text(
        f"name: overhead\nrun_dir: run\nsource: {{kind: table, path: pairs.jsonl, part_rows: {PART_ROWS}}}\n"
        f"stages:\n{stages}"
    )
    return config


def time_showtell(config: Path, runner: RayRunner) -> float:
    """Return the seconds of a run from nothing."""
    loaded = load_config(str(config))
    plan: Plan = make_plan(loaded)
    shutil.rmtree(plan.config.run_dir, ignore_errors=True)
    started = time.perf_counter()
    execute(loaded, plan, runner, Silent())
    return time.perf_counter() - started


def time_plain(folder: Path) -> float:
    """Return the seconds plain Ray Data takes, which also writes its rows as one Parquet file per block."""
    import ray

    started = time.perf_counter()
    rows = [{"id": f"s{row}", "captions": ["a caption"]} for row in range(PARTS * PART_ROWS)]
    data = ray.data.from_items(rows, override_num_blocks=PARTS)
    for _ in range(STAGES):
        data = data.map_batches(
            PlainNothing, batch_size=None, batch_format="pyarrow", num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
    for _ in data.iter_batches(batch_size=None):
        pass
    return time.perf_counter() - started


def main() -> None:
    """Print each round, the medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    ours, plain = [], []
    with tempfile.TemporaryDirectory() as name:
        config = write_config(Path(name))
        runner = RayRunner(load_config(str(config)).config.ray)
        time_plain(Path(name))
        for turn in range(rounds):
            plain.append(time_plain(Path(name)))
            ours.append(time_showtell(config, runner))
            print(f"round {turn + 1}: plain Ray Data {plain[-1]:.2f} s, Showtell {ours[-1]:.2f} s", flush=True)
        runner.close()
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    print(f"median: plain Ray Data {statistics.median(plain):.2f} s, Showtell {statistics.median(ours):.2f} s")
    spread = f"from {min(ratios):.2f} to {max(ratios):.2f}"
    print(f"Showtell / plain Ray Data: median {statistics.median(ratios):.2f} ({spread})")


if __name__ == "__main__":
    main()
