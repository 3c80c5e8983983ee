"""What ``check`` prints."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from pipeline.peek import columns_of, peek
from pipeline.plan import SOURCE_OWNER, Plan, PlannedStep
from pipeline.run_dir import RunDirectory
from pipeline.show import amounts, console
from pipeline.worker import prepare
from stages.base import Sink, Stage, Step

__all__ = ["show_plan"]


def show_plan(plan: Plan) -> None:
    """Print the steps of a plan, what each reads and adds, its resources, and what is done already."""
    run = RunDirectory(plan.config.run_dir)
    parts = len(run.parts())
    title = escape(f"{plan.config.name} -> {plan.config.run_dir}")
    table = Table("step", "reads", "adds", "actors", "each", "done", title=title)
    for planned in plan.steps:
        config = planned.config
        adds = _adds(planned)
        each = f"{config.cpus:g} CPU" + (f", {config.gpus:g} GPU" if config.gpus else "")
        table.add_row(
            planned.name, _reads(plan, planned), "\n".join(adds), "-".join(map(str, sorted(set(config.actors)))), each,
            _done(run, planned, parts),
        )
    console.print(table)
    _show_costs(plan, run)


def _show_costs(plan: Plan, run: RunDirectory) -> None:
    """Print what stages that cost something will cost, from a sample of the source."""
    costly = [planned for planned in plan.steps if type(planned.step).estimate is not Step.estimate]
    if not costly:
        return
    source = peek(run, plan.config.source)
    for planned in costly:
        prepare(planned.step, planned, plan, run)
        estimate = planned.step.estimate(source.rows, columns_of(planned, source.sample))
        if estimate:
            bound = "at least " if source.is_more else ""
            title = f"{planned.name}: for {bound}{source.rows} samples, if none is rejected before"
            console.print(f"{title}: {amounts(estimate)}", markup=False, highlight=False, soft_wrap=True)


def _adds(planned: PlannedStep) -> list[str]:
    columns = planned.step.produces.names if isinstance(planned.step, Stage) else []
    return [*columns, f"{planned.step.output}/"] if isinstance(planned.step, Sink) else columns


def _reads(plan: Plan, planned: PlannedStep) -> str:
    owners = {
        column: "source" if origin.owner == SOURCE_OWNER else plan.steps[origin.owner].name
        for column, origin in planned.reads.items()
    }
    return "\n".join(f"{column} ({owner})" for column, owner in owners.items())


def _done(run: RunDirectory, planned: PlannedStep, parts: int) -> str:
    if not isinstance(planned.step, Stage):
        return ""
    return f"{len(run.committed(planned.folder))}/{parts}" if parts else "-"
