"""Whisper with a compact vocabulary, to train from nothing in little time, and its export to a true checkpoint.

The layers are openai-whisper's own (`whisper.model`); only the embedding is smaller: one row for each text token
that the sample world says, rows of the 1,501 timestamps computed from sinusoids of their time (so that one
timestamp teaches all the others), and one row for all the ids that never occur.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from whisper.model import AudioEncoder, ModelDimensions, MultiHeadAttention, TextDecoder, sinusoids
from whisper.tokenizer import Tokenizer, get_tokenizer

__all__ = ["DIMENSIONS", "FRAMES_PER_POSITION", "CompactWhisper", "export"]

DIMENSIONS = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=128,
    n_audio_head=4,
    n_audio_layer=3,
    n_vocab=51864,
    n_text_ctx=256,
    n_text_state=128,
    n_text_head=4,
    n_text_layer=2,
)
FRAMES_PER_POSITION = 2
TIMESTAMPS = 1501
# Positions (20 ms each) before or behind itself where a fresh encoder head looks, by layer and head.
NEIGHBOURS = ((-4.0, -1.0, 1.0, 4.0), (-12.0, -4.0, 4.0, 12.0), (-20.0, -7.0, 7.0, 20.0))
NEIGHBOUR_STRENGTH = 1.1
GUIDED_HEADS = 2  # of each decoder layer


class CompactWhisper(nn.Module):
    """The model in training. Compact ids: the `tokens`, then the 1,501 timestamps, then one id for all others."""

    def __init__(self, tokens: Sequence[int]) -> None:
        super().__init__()
        dims = DIMENSIONS
        width = dims.n_text_state
        self.tokens = list(tokens)
        self.tokenizer: Tokenizer = get_tokenizer(multilingual=False)
        self.encoder = AudioEncoder(dims.n_mels, dims.n_audio_ctx, width, dims.n_audio_head, dims.n_audio_layer)
        self.decoder = TextDecoder(len(self.tokens) + 1, dims.n_text_ctx, width, dims.n_text_head, dims.n_text_layer)
        nn.init.normal_(self.decoder.token_embedding.weight, std=0.05)
        nn.init.normal_(self.decoder.positional_embedding, std=0.01)
        self.register_buffer("times", sinusoids(TIMESTAMPS, width), persistent=False)
        self.time_map = nn.Linear(width, width)
        nn.init.normal_(self.time_map.weight, std=0.05 / math.sqrt(width / 2))
        self.ctc = nn.Linear(width, len(self.tokens) + 1)
        for block, shifts in zip(self.encoder.blocks, NEIGHBOURS, strict=True):
            _look_at_neighbours(block.attn.query.weight, block.attn.key.weight, shifts)

    def compact_id(self, token: int) -> int:
        """The compact id of a tokenizer's id. Raises ValueError for an id that is not known."""
        first = self.tokenizer.timestamp_begin
        return len(self.tokens) + token - first if token >= first else self.tokens.index(token)

    def embedding(self) -> Tensor:
        """Rows of all compact ids: (tokens + 1,501 + 1, width)."""
        rows = self.decoder.token_embedding.weight
        return torch.cat([rows[:-1], self.time_map(self.times), rows[-1:]])

    def encode(self, mel: Tensor, offsets: Tensor) -> Tensor:
        """Encode log-mel (batch, 80, frames) that starts `offsets` (batch,) positions into Whisper's window:
        (batch, frames / 2, width).
        """
        x = functional.gelu(self.encoder.conv1(mel))
        x = functional.gelu(self.encoder.conv2(x)).permute(0, 2, 1)
        places = offsets[:, None] + torch.arange(x.shape[1])
        x = x + self.encoder.positional_embedding[places]
        for block in self.encoder.blocks:
            x = block(x)
        encoded: Tensor = self.encoder.ln_post(x)
        return encoded

    def decode(self, ids: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Compact `ids` (batch, length) after `audio` -> logits (batch, length, compact ids), and where the
        guided heads look (batch, heads, length, positions).
        """
        rows = self.embedding()
        x = rows[ids] + self.decoder.positional_embedding[: ids.shape[1]]
        looks = []
        for block in self.decoder.blocks:
            x = x + block.attn(block.attn_ln(x), mask=self.decoder.mask)[0]
            asked = block.cross_attn_ln(x)
            looks.append(_look(block.cross_attn, asked, audio))
            x = x + block.cross_attn(asked, audio)[0]
            x = x + block.mlp(block.mlp_ln(x))
        logits = self.decoder.ln(x) @ rows.T
        # The last id stands for many: they share one logit, so their probabilities add up.
        others = DIMENSIONS.n_vocab - TIMESTAMPS - len(self.tokens)
        logits = logits + functional.pad(logits.new_tensor([math.log(others)]), (logits.shape[-1] - 1, 0))
        return logits, torch.cat(looks, dim=1)


def _look(attention: MultiHeadAttention, asked: Tensor, audio: Tensor) -> Tensor:
    """The attention weights of the guided heads, those with the lowest numbers."""
    width = asked.shape[-1] // attention.n_head
    q = attention.query(asked).unflatten(-1, (-1, width))[:, :, :GUIDED_HEADS].transpose(1, 2)
    k = attention.key(audio).unflatten(-1, (-1, width))[:, :, :GUIDED_HEADS].permute(0, 2, 3, 1)
    weights: Tensor = (q @ k / math.sqrt(width)).softmax(-1)
    return weights


def _look_at_neighbours(query: Tensor, key: Tensor, shifts: Sequence[float]) -> None:
    """Start every head off by looking `shifts` positions away, which is meant to save training.

    Queries and keys pick out the same sinusoids of the positional encoding; the queries' are rotated.
    """
    width, half = query.shape[0], query.shape[0] // 2
    head, pairs = width // len(shifts), width // len(shifts) // 2
    chosen = torch.linspace(3, 36, pairs).round().long()
    rates = torch.exp(-math.log(10_000) / (half - 1) * chosen)
    with torch.no_grad():
        for number, shift in enumerate(shifts):
            sines = number * head + torch.arange(pairs)
            cosines = sines + pairs
            turn_sin, turn_cos = torch.sin(rates * shift), torch.cos(rates * shift)
            s = NEIGHBOUR_STRENGTH
            key[sines, chosen] += s
            key[cosines, chosen + half] += s
            query[sines, chosen] += s * turn_cos
            query[sines, chosen + half] += s * turn_sin
            query[cosines, chosen + half] += s * turn_cos
            query[cosines, chosen] -= s * turn_sin


def export(model: CompactWhisper, path: Path) -> None:
    """Write the checkpoint that `whisper.load_model` reads: the full vocabulary, float16."""
    rows = model.embedding().detach()
    embedding = rows[-1].repeat(DIMENSIONS.n_vocab, 1)
    embedding[torch.tensor(model.tokens)] = rows[: len(model.tokens)]
    first = model.tokenizer.timestamp_begin
    embedding[first : first + TIMESTAMPS] = rows[len(model.tokens) : -1]
    state = {f"encoder.{name}": value for name, value in model.encoder.state_dict().items()}
    state |= {f"decoder.{name}": value for name, value in model.decoder.state_dict().items()}
    state["decoder.token_embedding.weight"] = embedding
    half = {name: value.to(torch.float16).clone() for name, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": asdict(DIMENSIONS), "model_state_dict": half}, path)
