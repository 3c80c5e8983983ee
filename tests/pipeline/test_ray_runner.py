"""The Ray runner: the same results as inline, and a worker that dies costs its part only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.execute import Result, execute
from pipeline.plan import make_plan
from pipeline.ray_runner import RayRunner
from schemas.config import RayConfig
from schemas.errors import FatalError
from tests.pipeline.runs import PROBES, Quiet, run_inline, tree, without_cost, write_config, write_source


@pytest.fixture(scope="module")
def runner() -> Iterator[RayRunner]:
    """One Ray on this machine for all tests, with two cores."""
    started = RayRunner(RayConfig(num_cpus=2))
    yield started
    started.close()


def run_ray(config: Path, runner: RayRunner) -> tuple[Result, Quiet]:
    """Run a config on Ray."""
    loaded = load_config(str(config))
    watcher = Quiet()
    return execute(loaded, make_plan(loaded), runner, watcher), watcher


def test_ray_gives_the_same_run_directory_as_inline(tmp_path: Path, runner: RayRunner) -> None:
    """Parts, barrier and dataset are byte for byte those of the inline runner, with several actors a stage."""
    captions = ["a" * (number % 9 + 1) for number in range(34)]
    stages = [
        {"use": f"{PROBES}Length", "actors": [2, 2]}, {"use": f"{PROBES}AboveAverage"}, {"use": f"{PROBES}Picky"},
        {"use": f"{PROBES}Talk"}, {"use": "shards", "shuffle": True},
    ]
    trees = []
    for name in ("inline", "ray"):
        folder = tmp_path / name
        folder.mkdir()
        write_source(folder, captions)
        config = write_config(folder, stages, part_rows=2)
        _, watcher = run_inline(config) if name == "inline" else run_ray(config, runner)
        assert len(watcher.outcomes) == 17 * 5, "every part is reported once at every stage"
        files = without_cost(tree(folder / "run"))
        trees.append({key: data for key, data in files.items() if key.endswith((".arrow", ".md", ".parquet"))})
    assert trees[0] == trees[1]
    assert any(key.startswith("dataset/train") for key in trees[0])


def test_part_that_kills_its_worker_is_given_up(tmp_path: Path, runner: RayRunner) -> None:
    """After several deaths the part is named and left; every other one goes through all stages, also those
    that go through Ray in a block with it."""
    write_source(tmp_path, ["a"] * 36 + ["die"] + ["a"] * 33)
    config = write_config(tmp_path, [{"use": f"{PROBES}Picky"}, {"use": f"{PROBES}Length"}], part_rows=1)
    result, watcher = run_ray(config, runner)
    assert dict(result.given_up) == {("picky", 36): "part 36: its worker died each time"}
    assert len(watcher.outcomes) == 70 + 69, "every part is reported once a stage"
    assert result.view.reports()["length"].kept == 69


def test_stages_that_want_more_than_the_machine_still_run(tmp_path: Path, runner: RayRunner) -> None:
    """Four stages of 3 CPUs each are scaled down on two cores instead of waiting for ever."""
    write_source(tmp_path, ["a"] * 8)
    stages = [{"use": f"{PROBES}Length", "name": f"length{index}", "cpus": 3} for index in range(4)]
    result, _ = run_ray(write_config(tmp_path, stages), runner)
    assert {name: report.kept for name, report in result.view.reports().items()} == {
        "source": 8, "length0": 8, "length1": 8, "length2": 8, "length3": 8,
    }


def test_model_that_does_not_load_stops_the_run_with_its_line(tmp_path: Path, runner: RayRunner) -> None:
    """What open() says in an actor is what the user reads, without Ray's traceback."""
    write_source(tmp_path, ["a"])
    with pytest.raises(FatalError) as error:
        run_ray(write_config(tmp_path, [{"use": f"{PROBES}NeverOpens"}]), runner)
    assert str(error.value) == "never_opens: model = nowhere: no such model"


def count_up(settings: dict[str, Any]) -> None:
    """Tell three lines, as a sink's worker does."""
    for number in range(3):
        settings["tell"](f"{settings['word']} {number}")


def test_lines_of_a_launched_worker_come_out_here(runner: RayRunner) -> None:
    """What a worker tells reaches the driver, in order, and is all there when the launch is over."""
    told: list[str] = []
    runner.launch(count_up, {"word": "step"}, workers=1, cpus=1, gpus=0, tell=told.append)
    assert told == ["step 0", "step 1", "step 2"]
