"""The openai client of a chat server."""

from __future__ import annotations

import os
from typing import Any

import httpx2
import openai

from schemas.errors import FatalError
from stages.models.chat import ChatConfig

__all__ = ["async_client", "sync_client"]

CONNECT_S = 10.0
"""Nobody who will answer takes longer to pick up."""

def async_client(config: ChatConfig) -> openai.AsyncOpenAI:
    """Return a client that never retries by itself, with a connection for every request in flight."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=config.concurrency)
    timeout = httpx2.Timeout(config.timeout_s, connect=min(config.timeout_s, CONNECT_S))
    http = openai.DefaultAsyncHttpxClient(limits=limits, timeout=timeout)
    return openai.AsyncOpenAI(**_access(config), max_retries=0, timeout=timeout, http_client=http)


def sync_client(config: ChatConfig) -> openai.OpenAI:
    """Return a client that retries as often as the config says."""
    return openai.OpenAI(**_access(config), max_retries=config.retries, timeout=config.timeout_s)


def _access(config: ChatConfig) -> dict[str, Any]:
    """A server of one's own mostly wants no key, but the client always does."""
    key = config.api_key.get_secret_value() if config.api_key else os.environ.get("OPENAI_API_KEY")
    base_url = config.base_url or os.environ.get("OPENAI_BASE_URL")
    if not key and not base_url:
        raise FatalError("no key for the chat server: set OPENAI_API_KEY or chat.api_key")
    return {"api_key": key or "none", "base_url": base_url}
