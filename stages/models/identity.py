"""What decides a reply beside the request, known without opening an engine: a log is read by it."""

from __future__ import annotations

from pathlib import Path

from stages.models.chat import ChatConfig

__all__ = ["TRANSFORMERS_BATCH", "identity", "together"]

TRANSFORMERS_BATCH = 16
"""Requests a local model answers together."""


def identity(config: ChatConfig) -> str:
    """Return everything but the request that decides a reply, whichever engine brings it."""
    if config.engine == "transformers":
        return f"transformers {config.model} {_version(config.model)} {config.max_tokens}"
    return f"openai {config.model} {config.temperature} {config.max_tokens} {config.seed}"


def together(config: ChatConfig) -> int:
    """Return how many requests in a row the engine answers as one batch (``ChatModel.together``)."""
    return TRANSFORMERS_BATCH if config.engine == "transformers" else 1


def _version(model: str) -> str:
    """Tell one state of the weights from another, so that replies of older weights are not reused."""
    if not Path(model).is_dir():
        from transformers import AutoConfig

        return str(getattr(AutoConfig.from_pretrained(model), "_commit_hash", ""))
    files = sorted(path for path in Path(model).iterdir() if path.is_file())
    return " ".join(f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)
