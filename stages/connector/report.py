"""The validation report as people read it: a table, and the model's card around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["model_card", "on_card", "summary", "table"]

COLUMNS = {"right": "right image", "other": "another image", "blank": "grey image", "none": "no image",
           "text_only": "text-only model"}
TASK_NAMES = {"counting": "counting, exact number", "pointing": "pointing, points inside the box"}


def table(validation: Mapping[str, Any]) -> list[list[str]]:
    """Return the figures as rows of text, the first row the heading.

    Each row is a measure under the conditions it was taken, and its gain: the right image against the
    text-only model (against another image, where no such model was trained), with a 95% interval.
    """
    rows = [["measure", *COLUMNS.values(), "chance", "gain [95%]"]]
    loss = validation["loss"]
    rows.append(["loss per answer token", *_cells(loss["mean"], "{:.3f}"), "", _gain(loss["margin"], "{:+.3f}")])
    ranking = validation["ranking"]
    rows.append([
        "ranking, right image first", _share(ranking["accuracy"]), "", "", "", "", f"{ranking['chance']:.0%}",
        _interval(ranking["accuracy"], "{:.0%}"),
    ])
    for kind, name in TASK_NAMES.items():
        if kind in validation:
            task = validation[kind]
            rows.append([name, *_cells(task["score"], "{:.1%}"), "", _gain(task["margin"], "{:+.1%}")])
    return rows


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that ``showtell status`` tells, and the ``table``."""
    validation, stages = report["validation"], report["stages"]
    loss = validation["loss"]
    margin = loss["margin"]["other"]
    counting = validation.get("counting", {"score": {}, "margin": {}})
    gain = counting["margin"].get("text_only")
    trained = [stages["align"], stages["instruct"]]
    return {
        "loss_right": loss["mean"]["right"]["value"],
        "loss_other": loss["mean"]["other"]["value"],
        "loss_text_only": _value(loss["mean"], "text_only"),
        "margin": margin["value"],
        "margin_95": [margin["low"], margin["high"]],
        "ranking_accuracy": validation["ranking"]["accuracy"]["value"],
        "counting_accuracy": _value(counting["score"], "right"),
        "counting_text_only": _value(counting["score"], "text_only"),
        "counting_margin_95": [gain["low"], gain["high"]] if gain else None,
        "trained_samples": sum(stage["samples"] for stage in trained),
        "steps": sum(stage["steps"] for stage in trained),
        "seconds": report["seconds"],
        "table": table(validation),
    }


def model_card(report: Mapping[str, Any]) -> str:
    """Return the model's README.md."""
    settings, train, stages = report["settings"], report["rows"]["train"], report["stages"]
    return f"""---
pipeline_tag: image-text-to-text
tags: [llava, showtell]
---
# {report["name"]}: reference model

A frozen vision tower, a `{settings["connector"]}` connector and a language model, trained by LLaVA's recipe
on the dataset of this run. It exists to show by measurement that the dataset teaches a model to look.

## Does it look at the picture?

{_validation(report["validation"])}

## Training

{_row(["stage", "conversations", "steps", "last loss", "seconds", "conversations/s"])}
{_row(["---"] * 6)}
{chr(10).join(_row(_stage_cells(name, stage)) for name, stage in stages.items())}

Learnt from {train["used"]} conversations about {train["samples"]} images, with {train["answer_tokens"]} answer
tokens in all; conversations left out or cut: {_counts(train["unused"])}. All settings, counts and loss curves
are in `report.json`.

## Use

```python
from PIL import Image
from stages.connector.model import answer, load

model = load("model")  # this folder
print(answer(model, Image.open("photo.jpg"), "What is in the picture?"))
```
"""


def on_card(report: Mapping[str, Any]) -> str:
    """Return the section of the dataset's card on what a model learnt from it."""
    settings, train = report["settings"], report["rows"]["train"]
    return f"""## What a model learnt from it

A frozen vision tower, a `{settings["connector"]}` connector and a language model were trained by LLaVA's recipe on
{train["used"]} conversations about {train["samples"]} images of the train split, to see whether the dataset teaches a
model to look at the picture.

{_validation(report["validation"])}
"""


def _validation(validation: Mapping[str, Any]) -> str:
    loss = validation["loss"]
    heading, *lines = table(validation)
    return f"""{_row(heading)}
{_row(["---"] * len(heading))}
{chr(10).join(map(_row, lines))}

Measured on {loss["answers"]} answers ({loss["tokens"]} tokens) about {loss["samples"]} held-out images. Another
image is the one of a different sample, the same for all questions about a sample. The text-only model is the
same language model, trained as long on the same conversations without their images. The gain is that of the
right image over the text-only model (over another image where there is none; for ranking the accuracy's own
interval). Intervals are bootstrap percentiles over samples."""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _stage_cells(name: str, stage: Mapping[str, Any]) -> list[str]:
    last = f"{stage['curve'][-1]['loss']:.3f}" if stage["curve"] else ""
    return [name, str(stage["samples"]), str(stage["steps"]), last, f"{stage['seconds']:.1f}",
            f"{stage['samples_per_second']:.1f}"]


def _counts(unused: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in unused.items()) or "none"


def _value(estimates: Mapping[str, Any], name: str) -> float | None:
    return estimates[name]["value"] if name in estimates else None


def _cells(estimates: Mapping[str, Any], form: str) -> list[str]:
    return [form.format(estimates[name]["value"]) if name in estimates else "" for name in COLUMNS]


def _share(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.1%}"


def _gain(margins: Mapping[str, Any], form: str) -> str:
    margin = margins.get("text_only", margins["other"])
    return f"{form.format(margin['value'])} {_interval(margin, form)}"


def _interval(estimate: Mapping[str, float], form: str) -> str:
    return f"[{form.format(estimate['low'])}, {form.format(estimate['high'])}]"
