"""The card's sections on how the dataset was made, what it cost, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Set
from importlib.metadata import version

import yaml

from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.markdown import code_block, table
from stages.dataset.selection import lost_rows

__all__ = ["cost", "limits", "making"]


def making(run: RunView) -> str:
    """Return the steps, their models, and the config that makes the dataset again."""
    rows = [
        (step["name"] if step["name"] == step["use"] else f"{step['name']} ({step['use']})", step["does"],
         step["version"], step["fingerprint"][:12])
        for step in run.steps()
    ]
    files = [(step["name"], name, content[:12]) for step in run.steps() for name, content in step["models"].items()]
    models = f"""
### Models and prompts

What the steps read beside the samples, with the beginning of each digest (BLAKE2b) of its content; of a model on a hub
it is that of its name. A model behind an API is named in its step's settings.

{table(['step', 'file', 'digest'], files)}""" if files else ""
    header = ["step", "what it does", "version", "fingerprint"]
    config = code_block(yaml.safe_dump(dict(run.config()), sort_keys=False, allow_unicode=True), "yaml")
    return f"""## How it was made

By Showtell {version('showtell')}, seed {run.seed}. The steps, in order, with their settings in the config below:

{table(header, rows)}{models}
### To make it again

`showtell run` with this config, the same source and the same models gives the same shards, byte for byte, where no
host and no API answers otherwise. Equal fingerprints above mean equal settings and models. Digest of every value of
source and stages: `{run.digest()}`. The SHA-256 of every shard is in `manifest.json`; `showtell lint` checks them.

{config}"""


def cost(run: RunView) -> str:
    """Return seconds, calls, tokens and dollars of each stage. The one section in which equal runs differ."""
    reports = run.reports()
    metrics = ["calls", "input_tokens", "output_tokens", "usd"]
    shown = [name for name in metrics if any(report.metrics.get(name) for report in reports.values())]
    rows = [
        (stage, report.computed, f"{report.seconds:.1f}", *(f"{report.metrics.get(name, 0):.10g}" for name in shown))
        for stage, report in reports.items() if stage != "source"
    ]
    total = sum(report.seconds for report in reports.values())
    return f"""## Cost and time

{total:.0f} s of work over all actors, for the parts as they were last computed, without what earlier runs had left.

{table(['stage', 'rows computed', 'seconds', *(name.replace('_', ' ') for name in shown)], rows)}"""


def limits(run: RunView, census: Census) -> str:
    """Return what is known to be missing, from what the run did and did not do."""
    return "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in _limits(run, census)) + "\n"


def _limits(run: RunView, census: Census) -> Iterator[str]:
    used = {step["use"] for step in run.steps()}
    unchecked = census.rows.total() - census.checked
    yield "Captions and web pages are other people's: check the licences above before you publish."
    if unstated := census.licenses["not stated"]:
        yield f"{unstated} samples state no licence."
    if unchecked:
        yield f"{unchecked} conversations were not checked against what is known of their picture{_but(used)}."
    if census.doubted:
        yield f"{census.doubted} conversations were kept with findings: filter by `findings` before you train on them."
    yield "Conversations can state what the picture does not show; the check knows only captions, boxes and transcript."
    if "dedupe" not in used:
        yield "Duplicates have not been looked for: the splits may share near-duplicates."
    if "decontaminate" not in used:
        yield "It has not been compared with any benchmark."
    if "safety" not in used:
        yield "Faces, unsafe content and personal data have not been looked for."
    if lost := lost_rows(run):
        yield f"{lost} source rows could not be processed."
    yield "Languages are told by a classifier of words; pictures have not been read for the writing they show."


def _but(used: Set[str]) -> str:
    """Return why that may be no harm."""
    return "; those of `templates` say only what captions and boxes say" if "templates" in used else ""
