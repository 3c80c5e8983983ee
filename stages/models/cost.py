"""What requests to a chat model will cost, before any is sent."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.storage import Storage
from stages.models.chat import ChatConfig, ChatRequest
from stages.models.response_log import read_entries
from stages.models.tokens import estimated_tokens

__all__ = ["estimated_cost"]


def estimated_cost(
    config: ChatConfig, requests: Sequence[ChatRequest], scale: float, folder: Storage, reply_tokens: float
) -> dict[str, float]:
    """Return calls, tokens and, where prices are known, dollars.

    Args:
        config: the model.
        requests: real requests about a sample of the rows.
        scale: how many times as many there will be.
        folder: the log of replies; where it has some, replies are taken to be as long as those.
        reply_tokens: how long replies are otherwise.

    Returns:
        ``calls``, ``input_tokens``, ``output_tokens``, ``usd``, and ``usd_at_most``: if every reply is as long as
        ``max_tokens`` allows. Replies that are asked again come on top.
    """
    lengths = [entry.reply.output_tokens for entry in read_entries(folder)]
    expected = min(config.max_tokens, sum(lengths) / len(lengths) if lengths else reply_tokens)
    calls = round(len(requests) * scale)
    given = round(sum(map(estimated_tokens, requests)) * scale)
    amounts: dict[str, float] = {"calls": calls, "input_tokens": given, "output_tokens": round(calls * expected)}
    prices = config.known_prices()
    if prices is None:
        return amounts
    most = prices.usd(given, calls * config.max_tokens)
    return {**amounts, "usd": prices.usd(given, calls * expected), "usd_at_most": most}
