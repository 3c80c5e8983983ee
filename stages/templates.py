"""Conversations about a sample made from what its captions and boxes settle, without an LLM."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from schemas.columns import BOXES, CONVERSATIONS
from schemas.config import StageConfig
from stages.base import Stage, rows_to_table
from stages.checks import Context
from stages.templating.brief import brief
from stages.templating.counting import counting, point_count, pointing
from stages.templating.exchange import Exchange
from stages.templating.points import PointFormat
from stages.templating.position import position
from stages.templating.presence import presence
from stages.templating.scene import Scene
from stages.wordings import generator, is_countable

__all__ = ["Kind", "Templates", "TemplatesConfig"]

Kind = Literal["brief", "counting", "pointing", "point_count", "presence", "position"]

COCO_SUBJECTS = [
    "airplane", "banana", "bear", "bench", "bicycle", "bird", "boat", "bus", "cat", "clock", "cow", "dog",
    "elephant", "fire hydrant", "giraffe", "horse", "kite", "laptop", "motorcycle", "pizza", "sheep",
    "skateboard", "snowboard", "stop sign", "suitcase", "surfboard", "teddy bear", "toilet", "train",
    "umbrella", "zebra",
]

ABSENT_SHARE = 0.25
"""How often a sample with objects is also asked to count or point to one it does not hold."""


class TemplatesConfig(StageConfig):
    """Settings of ``templates``."""

    kinds: list[Kind] = Field(["brief", "counting", "pointing"], min_length=1)
    """Kinds of conversation to make of each sample; also ``point_count`` (point to each, then the number),
    ``presence`` (yes or no) and ``position`` (left, right, above, below)."""
    max_per_kind: int = Field(2, ge=1)
    """Most conversations of one kind about a sample. ``brief`` makes at most one; of ``presence`` half say yes."""
    max_per_sample: int = Field(8, ge=1)
    """Most conversations about a sample over all kinds; where there are more, they are drawn."""
    point_format: PointFormat = "pixmo"
    """How points are written: ``pixmo`` (0-100, one decimal) or ``molmo2`` (0-1000, in a ``coords`` attribute)."""
    absent_labels: list[str] = COCO_SUBJECTS
    """Objects a sample may be asked about though it holds none. Name only what the annotators looked for:
    where there is no box of it, the answer says that there is none. The default suits COCO's boxes."""


class Templates(Stage[TemplatesConfig]):
    """Fills sentences of our own with what captions and boxes say. A sample that says nothing gets none."""

    name = "templates"
    version = 2
    Config = TemplatesConfig
    consumes = pa.schema([("captions", pa.list_(pa.string())), ("boxes", BOXES)])
    optional = pa.schema([("best_caption", pa.int32()), ("transcript", pa.string())])
    produces = pa.schema([("template_conversations", CONVERSATIONS)])

    def process(self, batch: pa.Table) -> pa.Table:
        """Return ``template_conversations``: an empty list where neither captions nor boxes say anything."""
        rows = [{"template_conversations": self._conversations(row)} for row in batch.to_pylist()]
        return rows_to_table(rows, self.produces)

    def _conversations(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        context = Context([caption or "" for caption in row["captions"] or []], row["boxes"], row["transcript"])
        scene = None if context.boxes is None else Scene(context, self.config.absent_labels)
        made = [
            (kind, exchange)
            for kind in dict.fromkeys(self.config.kinds)
            for exchange in self._exchanges(kind, scene, context, row)
        ]
        if (most := self.config.max_per_sample) < len(made):
            drawn = generator(self.seed, row["id"]).sample(range(len(made)), most)
            made = [made[place] for place in sorted(drawn)]
        return [self._conversation(kind, exchange) for kind, exchange in made]

    def _conversation(self, kind: Kind, exchange: Exchange) -> dict[str, Any]:
        provenance = f"templates:v{self.version}:{kind}"
        return {"kind": kind, "messages": exchange.messages(), "provenance": provenance}

    def _exchanges(
        self, kind: Kind, scene: Scene | None, context: Context, row: Mapping[str, Any]
    ) -> list[Exchange]:
        """Return what is asked of one kind; without boxes neither number, place nor absence is known."""
        rng, most, form = generator(self.seed, row["id"], kind), self.config.max_per_kind, self.config.point_format
        if kind == "brief":
            return brief(context, row["best_caption"], rng)
        if scene is None:
            return []
        if kind == "pointing":
            return [pointing(name, scene, rng, form) for name in self._drawn(scene, rng, countable=False)]
        if kind == "counting":
            return [counting(name, scene, rng) for name in self._drawn(scene, rng)]
        if kind == "point_count":
            return [point_count(name, scene, rng, form) for name in self._drawn(scene, rng)]
        named = [name for name in scene.names if is_countable(name)]
        if kind == "position":
            return position([name for name in named if scene.is_counted(name)], scene, most, rng)
        return presence(named, list(filter(is_countable, scene.absent)), scene, most, rng)

    def _drawn(self, scene: Scene, rng: random.Random, *, countable: bool = True) -> list[str]:
        """Choose what to count or point to: names there are, and now and then one there is not."""
        present, absent = [name for name in scene.names if scene.is_counted(name)], scene.absent
        if countable:
            present, absent = [list(filter(is_countable, names)) for names in (present, absent)]
        most = self.config.max_per_kind
        chosen = rng.sample(present, min(most, len(present)))
        if absent and (not chosen or rng.random() < ABSENT_SHARE):
            chosen = [*chosen[: most - 1], rng.choice(absent)]
        return chosen
