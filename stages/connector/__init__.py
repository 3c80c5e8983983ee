"""The reference model: vision tower, connector and language model, trained on the finished dataset."""

from __future__ import annotations

from stages.connector.config import ConnectorConfig, EvalConfig, RecipeConfig
from stages.connector.sink import Connector

__all__ = ["Connector", "ConnectorConfig", "EvalConfig", "RecipeConfig"]
