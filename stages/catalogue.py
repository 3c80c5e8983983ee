"""The stages a config can name, found without importing any of them."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from schemas.errors import nearest

if TYPE_CHECKING:
    from stages.base import Step

__all__ = ["STAGES", "find", "plain_name"]

STAGES = {
    "download": "stages.download:Download",
    "quality": "stages.quality:Quality",
    "dedupe": "stages.dedupe:Dedupe",
    "decontaminate": "stages.decontaminate:Decontaminate",
    "clip_score": "stages.clip_score:ClipScore",
    "filter": "stages.filter:Filter",
    "transcribe": "stages.transcribe:Transcribe",
    "caption": "stages.caption:Caption",
    "converse": "stages.converse:Converse",
    "templates": "stages.templates:Templates",
    "shards": "stages.shards:Shards",
    "connector": "stages.connector.sink:Connector",
}
"""YAML name -> module:Class. The module carries the stage's name."""


def find(use: str) -> type[Step[Any]]:
    """Return the class of the stage ``use``: a name from ``STAGES``, or ``package.module:Class``.

    Raises:
        ValueError: there is no such stage; the message names the nearest one.
    """
    from stages.base import Sink, Stage

    target = STAGES.get(use, use)
    if ":" not in target:
        raise ValueError(f"unknown stage{nearest(use, STAGES)}")
    module_name, class_name = target.split(":", 1)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # anything can go wrong in a module of the user's own
        raise ValueError(f"cannot import this stage: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Stage | Sink)) or inspect.isabstract(found):
        raise ValueError("this is not a stage: it must be a subclass of stages.base.Stage or Sink")
    return found


def plain_name(use: str) -> str:
    """Return what a stage is called where the config gives it no name; ``use`` itself if there is no such stage."""
    if ":" not in use:
        return use
    try:
        return find(use).name
    except ValueError:
        return use
