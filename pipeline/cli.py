"""The command ``showtell``. Heavy imports wait until a command needs them: ``--help`` is quick."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError, FatalError, Mistake

if TYPE_CHECKING:
    from pipeline.config import LoadedConfig
    from pipeline.inline_runner import InlineRunner
    from pipeline.plan import Plan
    from pipeline.ray_runner import RayRunner
    from pipeline.run_dir import RunDirectory

__all__ = ["main"]

DONE, FAILED, WRONG, INCOMPLETE = 0, 1, 2, 3
"""Exit codes: done; the run failed; the config or command line is wrong; finished, but parts were given up, or paused
before the end."""

SILENCED = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_ALBUMENTATIONS_UPDATE": "1",
    "RAY_USAGE_STATS_ENABLED": "0", "TOKENIZERS_PARALLELISM": "false", "WANDB_MODE": "disabled",
}
"""Libraries' telemetry, update checks and own progress bars: off, unless the user's environment says otherwise."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=(
    "Turn web image-text pairs, annotated images and spoken descriptions into a multimodal instruction dataset."
))

Config = Annotated[str, typer.Argument(help="The run's YAML file.", metavar="CONFIG")]
RunDir = Annotated[str, typer.Argument(help="A run directory.", metavar="RUN_DIR")]
RunDirOption = Annotated[str | None, typer.Option("--run-dir", help="Use this run directory instead of the config's.")]
Settings = Annotated[list[str] | None, typer.Option(
    "--set", metavar="KEY=VALUE", help="Change a setting: run_dir=..., or STAGE.KEY=... by the stage's name.",
)]
Until = Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")]
RunnerName = Annotated[str, typer.Option("--runner", help="ray, or inline: everything in this process.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Only = Annotated[str, typer.Option("--only", metavar="REASON,...", help="Reject reasons to try again.")]
DatasetDir = Annotated[str, typer.Argument(help="A finished dataset's folder.", metavar="DATASET_DIR")]
To = Annotated[str, typer.Option("--to", metavar="DIR", help="The folder to write; a new or an empty one.")]
FormatName = Annotated[str, typer.Option(
    "--format", metavar="FORMAT", help="llava, llama_factory, webdataset, parquet or trl.",
)]


@app.command()
def run(
    config: Config, run_dir: RunDirOption = None, until: Until = None, set_: Settings = None,
    runner: RunnerName = "ray",
) -> None:
    """Run a config from source to dataset; a run that was stopped goes on where it was."""
    from pipeline.config import load_config
    from pipeline.plan import make_plan

    _check_runner(runner)
    loaded = load_config(config, set_ or (), run_dir)
    _execute(loaded, make_plan(loaded, until), runner)


@app.command()
def check(config: Config, run_dir: RunDirOption = None, set_: Settings = None) -> None:
    """Check a config and show the plan: columns, resources, what is done already, cost. Starts nothing."""
    from pipeline.config import load_config
    from pipeline.plan import make_plan
    from pipeline.show_plan import show_plan

    loaded = load_config(config, set_ or (), run_dir)
    show_plan(make_plan(loaded))


@app.command()
def status(run_dir: RunDir, json: AsJson = False) -> None:
    """Show the funnel: rows in, kept, rejected by stage and reason; calls, tokens, cost; scores, and what filters would
    keep at other thresholds."""
    from pipeline.funnel import read_funnel
    from pipeline.show import console, print_json, show_funnel
    from pipeline.show_scores import show_scores
    from pipeline.stored import StoredRun
    from stages.dataset.what_if import read_scores

    directory = _existing_run(run_dir)
    reports = directory.all_reports()
    funnel = read_funnel(directory, reports)
    if json:
        scores = [score.to_json() for score in read_scores(StoredRun(directory, reports))]
        print_json({**funnel.to_json(), "scores": scores})
        return
    show_funnel(funnel)
    show_scores(read_scores(StoredRun(directory, reports)), console)


@app.command()
def why(run_dir: RunDir, sample_id: Annotated[str, typer.Argument(metavar="SAMPLE_ID")], json: AsJson = False) -> None:
    """Tell everything that happened to one sample."""
    from pipeline.show import print_json, show_story
    from pipeline.story import story

    chapters = story(_existing_run(run_dir), sample_id)
    print_json(chapters) if json else show_story(sample_id, chapters)


@app.command()
def view(
    run_dir: RunDir,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes any that is free.")] = 8420,
    static: Annotated[str | None, typer.Option(
        metavar="OUT.html", help="Write one file with a few hundred samples instead, which needs no server.",
    )] = None,
) -> None:
    """Look through a run in a browser: kept and rejected samples, with everything known of them."""
    directory = _existing_run(run_dir)
    if static is not None:
        from pipeline.viewer.static import write_static

        count = write_static(directory, static)
        typer.echo(f"{static}: {count} samples")
        return
    from pipeline.viewer.server import serve

    serve(directory, port, lambda address: typer.echo(f"{address} (stop with Ctrl+C)"))


@app.command()
def retry(run_dir: RunDir, only: Only, runner: RunnerName = "ray") -> None:
    """Try rows again that were rejected for some reasons, and bring every later stage up to date."""
    from pipeline.config import check_config
    from pipeline.execute import only_run
    from pipeline.plan import make_plan
    from pipeline.retry import forget

    _check_runner(runner)
    directory = _existing_run(run_dir)
    described = directory.describe()
    loaded = check_config({**described["config"], "run_dir": directory.storage.url}, described["config_file"])
    last = described["steps"][-1]["name"]
    plan = make_plan(loaded, until=last)
    with only_run(directory):
        count = forget(directory, [reason.strip() for reason in only.split(",") if reason.strip()])
    typer.echo(f"trying {count} rows again")
    _execute(loaded, plan, runner)


@app.command()
def export(
    dataset_dir: DatasetDir, format_: FormatName, to: To,
    max_shard_bytes: Annotated[int, typer.Option(
        "--max-shard-bytes", min=1, help="A shard is closed once it is this long (webdataset, parquet).",
    )] = 500_000_000,
) -> None:
    """Write a dataset in the files a trainer reads; an export that was stopped goes on where it was."""
    from pipeline.export.run import export
    from pipeline.progress import row_progress

    with _stoppable(), row_progress(format_) as shown, _stopped_between_rows(shown) as (progress, finishing):
        manifest = export(dataset_dir, format_, to, max_shard_bytes, progress, finishing)
    rows = ", ".join(f"{split} {count} rows" for split, count in manifest["rows"].items())
    typer.echo(f"{format_}: {rows}, {manifest['images']} images: {to}")
    if manifest["changed_texts"]:
        typer.echo(f"{manifest['changed_texts']} texts held a literal placeholder such as <image>; it was taken apart")


@app.command()
def lint(dataset_dir: DatasetDir, json: AsJson = False) -> None:
    """Check everything one can check of a dataset; one line a problem, exit 1 where there is an error."""
    from pipeline.lint.run import lint
    from pipeline.progress import row_progress
    from pipeline.show import print_json, show_report

    if json:
        report = lint(dataset_dir)
        print_json(report.to_json())
    else:
        with row_progress("lint") as progress:
            report = lint(dataset_dir, progress)
        show_report(report)
    raise typer.Exit(DONE if report.sound else FAILED)


@app.command()
def push(
    dataset_dir: DatasetDir, repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="As owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    to: Annotated[str | None, typer.Option(
        "--to", metavar="DIR", help="Where the Parquet form is made; by default beside DATASET_DIR.",
    )] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be uploaded.")] = False,
) -> None:
    """Upload a dataset to a hub repository, in its Parquet form, in one commit."""
    if sys.stderr.isatty():  # an upload takes long, and only the client knows how far it is
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "0"
    from pipeline.export.push import check_login, check_repository, hub_folder, listed, upload
    from pipeline.progress import row_progress

    check_repository(repo_id)
    with _stoppable():
        if not dry_run:
            check_login()
        with row_progress("parquet") as shown, _stopped_between_rows(shown) as (progress, finishing):
            folder = hub_folder(dataset_dir, to, progress, finishing)
        for name, size in listed(folder):
            typer.echo(f"{size:>14,}  {name}")
        typer.echo("nothing was uploaded" if dry_run else f"uploaded: {upload(folder, repo_id, private)}")


def _execute(loaded: LoadedConfig, plan: Plan, runner_name: str) -> None:
    from rich.console import Console

    from pipeline.execute import execute
    from pipeline.funnel import read_funnel
    from pipeline.progress import watcher_for
    from pipeline.show import show_end, show_funnel

    runner = _runner(runner_name, plan)
    watcher = watcher_for(Console())
    try:
        with _stoppable():
            result = execute(loaded, plan, runner, watcher)
    finally:
        watcher.close()
        runner.close()
    show_funnel(read_funnel(result.view.run))
    show_end(result)
    raise typer.Exit(INCOMPLETE if result.given_up or result.paused else DONE)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Say how to go on after Ctrl-C; typer would end without a word and with another code."""
    try:
        yield
    except KeyboardInterrupt:
        raise FatalError("stopped; the same command goes on from here") from None


@contextmanager
def _stopped_between_rows(
    shown: Callable[[int, int], None],
) -> Iterator[tuple[Callable[[int, int], None], Callable[[], None]]]:
    """Have Ctrl-C act when rows are done: while Arrow writes, it would abort the process.

    Yields:
        What is to be called with the rows done and all rows, and what after the last of them: then Ctrl-C acts at once.
    """
    pressed: list[int] = []

    def tell(done: int, rows: int) -> None:
        if pressed:
            raise KeyboardInterrupt
        shown(done, rows)

    def finishing() -> None:
        signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield tell, finishing
    finally:
        signal.signal(signal.SIGINT, before)


def _check_runner(name: str) -> None:
    if name not in {"ray", "inline"}:
        raise ConfigError("command line", [Mistake("--runner", name, "must be ray or inline")])


def _runner(name: str, plan: Plan) -> InlineRunner | RayRunner:
    if name == "inline":
        from pipeline.inline_runner import InlineRunner

        return InlineRunner()
    from pipeline.ray_runner import RayRunner

    return RayRunner(plan.config.ray)


def _existing_run(run_dir: str) -> RunDirectory:
    from pipeline.run_dir import RunDirectory

    try:
        directory = RunDirectory(run_dir if "://" in run_dir else str(Path(run_dir).resolve()))
    except (ValueError, ImportError) as error:
        raise ConfigError("command line", [Mistake("RUN_DIR", run_dir, str(error))]) from error
    if not directory.describe():
        raise ConfigError(run_dir, [Mistake("RUN_DIR", "", "holds no run (no run.json)")])
    return directory


def main() -> None:
    """Run the command line; mistakes of the user end in one line each and an exit code, never a traceback."""
    for name, value in SILENCED.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(WRONG)
    except (FatalError, OSError) as error:  # OSError: a full disk, a folder that must not be written
        sys.stderr.write(f"error: {error}\n")
        sys.exit(FAILED)
