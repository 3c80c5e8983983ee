"""Trains a reference vision-language model on the finished dataset and measures whether it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from schemas.storage import Storage
from stages.base import RunView, Sink, Workers
from stages.connector.config import ConnectorConfig
from stages.connector.report import on_card, summary

__all__ = ["Connector", "ConnectorConfig"]


class Connector(Sink[ConnectorConfig]):
    """A LLaVA-style model: connector and language model trained, vision tower frozen.

    Writes ``connector.safetensors``, ``language/``, ``vision/`` and ``config.json`` (``stages.connector.model``
    loads them), ``report.json`` and the card ``README.md``.
    """

    name = "connector"
    Config = ConnectorConfig
    consumes = pa.schema([("split", pa.string())])
    output: ClassVar[str] = "model"

    def model_files(self) -> Sequence[str]:
        """Return the tower and the language model."""
        return (self.config.vision, self.config.language)

    def write(self, run: RunView, into: Storage, workers: Workers) -> Mapping[str, Any]:
        """Train on the run's dataset; return the figures that matter and a ``table`` of all of them.

        Raises:
            FatalError: a model does not load, or there is nothing to learn from or to measure on.
        """
        from stages.connector.train import train_worker  # torch is loaded where the work happens

        settings = {
            "config": self.config, "seed": self.seed, "name": run.name, "dataset": run.dataset(),
            "into": into.url,
        }
        config = self.config
        workers.launch(train_worker, settings, workers=config.workers, cpus=config.cpus, gpus=config.gpus)
        return summary(into.read_json("report.json"))

    def on_card(self, made: Storage) -> str:
        """Return the validation, for the dataset's card."""
        return on_card(made.read_json("report.json"))
