"""What was asked about one sample and what came back, from the log of replies.

The log holds replies by the hash of their request, not the requests: those follow from the sample, the config and the
prompts. So the stage goes over the row once more with nothing but the log to answer it. A request whose hash finds a
reply is to the letter the one that was sent; where a prompt or a model has changed since, none is found, and that is
what is told.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.config import check_config
from pipeline.layout import Layout
from pipeline.part_view import PartView
from stages.catalogue import find, plain_name

if TYPE_CHECKING:
    from stages.models.replayed_chat import Exchange
    from stages.written import Written

__all__ = ["exchanges"]


def exchanges(layout: Layout, part: int, row: int) -> dict[str, list[dict[str, Any]]]:
    """Return for each stage that asks a chat model what was said about a row, in order.

    Returns:
        Stage -> exchanges: ``kind``, ``messages`` (role, content), ``has_image``, and where the log has a reply
        to exactly this ``reply``, ``finish_reason``, ``input_tokens``, ``output_tokens`` and ``usd``.

    Raises:
        ConfigError: the run's config does not hold here: a model, a prompt or an environment variable is missing.
    """
    from stages.written import Written

    described = layout.run.describe()
    raw = {**described["config"], "run_dir": layout.run.storage.url}
    config = check_config(raw, described["config_file"]).config
    view = PartView(layout, part)
    places = {stage.name: place for place, stage in enumerate(layout.stages[: len(view.tables)])}
    found = {}
    for settings in config.stages:
        name = settings.name or plain_name(settings.use)
        kind = find(settings.use)
        if name in places and issubclass(kind, Written) and view.entered[places[name]][row].as_py():
            step = kind(settings)
            step.seed, step.folder = config.seed, layout.run.storage.folder(f"responses/{name}")
            found[name] = [_told(each) for each in _said(step, view, places[name], row)]
    return found


def _said(step: Written[Any], view: PartView, stage: int, row: int) -> list[Exchange]:
    table = _inputs(step, view, stage)
    alone = _replayed(step, table.slice(row, 1))
    if step.config.chat.engine != "transformers":
        return alone
    # A local model's replies are found by all the requests they were written together with.
    own = [each.request.messages for each in alone]
    live = [number for number, alive in enumerate(view.entered[stage].to_pylist()) if alive]
    first = live.index(row) // step.config.batch_rows * step.config.batch_rows
    batch = table.take(pa.array(live[first : first + step.config.batch_rows], pa.int64()))
    said = _replayed(step, batch)
    return [each for each in said if any(each.request.messages[: len(asked)] == asked for asked in own)]


def _inputs(step: Written[Any], view: PartView, stage: int) -> pa.Table:
    """Return the columns the stage read, of all rows of the part."""
    columns = view.layout.columns_before(stage)
    fields = [pa.field("id", pa.string()), *step.consumes, *step.optional]
    return pa.table(
        {
            field.name: view.at(columns[field.name]) if field.name in columns else pa.nulls(view.rows, field.type)
            for field in fields
        }
    )


def _replayed(step: Written[Any], rows: pa.Table) -> list[Exchange]:
    from stages.models.replayed_chat import ReplayedChat

    chat = ReplayedChat(step.config.chat, step.folder)
    step.open_with(chat)
    with suppress(Exception):  # what raises here raised in the run: the row's reason tells; what was asked is known
        step.process(rows)
    return chat.exchanges


def _told(exchange: Exchange) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": exchange.request.schema_name, "messages": list(exchange.request.messages),
        "has_image": exchange.request.image is not None,
    }
    if exchange.entry is None:
        return told
    reply = exchange.entry.reply
    return {
        **told, "reply": reply.text, "finish_reason": reply.finish_reason, "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens, "usd": exchange.entry.usd,
    }
