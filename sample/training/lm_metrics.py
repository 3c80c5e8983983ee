"""How well the starter language model writes JSON about scenes it has not seen, and how true it is."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import torch
from pydantic import ValidationError
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from sample.grammar import NUMBERS, plural, totals_by_kind
from sample.scenes import COLOURS, KINDS, Scene, make_scene
from sample.training.contexts import Context, make_context
from stages.replies import REPLIES, Caption, Conversation, Description, Kind, Reply

__all__ = ["find_statements", "generate", "measure_replies"]

BATCH = 15
MAX_NEW_TOKENS = 400
COUNTS = {"a": 1, "an": 1} | {word: count for count, word in enumerate(NUMBERS) if count}
NOUNS = {form: kind for kind in KINDS for form in (kind, plural(kind))}
KIND_WORDS = "|".join(sorted(NOUNS, key=len, reverse=True))
COUNTED = re.compile(rf"\b({'|'.join(COUNTS)}) (?:small |large )?(?:({'|'.join(COLOURS)}) )?({KIND_WORDS})\b")
TOTAL = re.compile(rf"\b({'|'.join(NUMBERS)}) things? in all")
ABSENT = re.compile(rf"\bthere is no ({KIND_WORDS})\b")
# Said of the world, not of the picture.
ASIDE = re.compile(r"use an umbrella|inside a house")
COLOURED = re.compile(rf"\bthe ({KIND_WORDS}) (?:is|are) ({'|'.join(COLOURS)})\b")


@torch.inference_mode()
def generate(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, asked: Sequence[str]) -> list[str]:
    """The greedy reply to each user message."""
    replies: list[str] = []
    for start in range(0, len(asked), BATCH):
        prompts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
            )
            for text in asked[start : start + BATCH]
        ]
        inputs = tokenizer(prompts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
        written = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
        )
        replies += tokenizer.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return replies


def measure_replies(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seeds: Sequence[int]
) -> tuple[dict[str, float], list[tuple[str, str, list[str]]]]:
    """Figures over one context a seed, kinds in turn; and each message, reply and false statement."""
    rng = random.Random("lm metrics")
    kinds: list[Kind] = [list(REPLIES)[index % 3] for index in range(len(seeds))]
    contexts = [make_context(make_scene(seed), rng) for seed in seeds]
    asked = [context.ask(kind) for context, kind in zip(contexts, kinds, strict=True)]
    replies = generate(model, tokenizer, asked)
    read = [_read(kind, reply) for kind, reply in zip(kinds, replies, strict=True)]
    checked = [find_statements(reply, context) if reply else [] for reply, context in zip(read, contexts, strict=True)]
    stating = [statements for statements in checked if statements]
    every = [true for statements in checked for _, true in statements]
    figures = {
        "n": len(seeds),
        "valid_json": sum(reply is not None for reply in read) / len(seeds),
        "replies_with_only_true_statements": sum(all(t for _, t in found) for found in stating) / max(1, len(stating)),
        "true_statements": sum(every) / max(1, len(every)),
        "statements": len(every),
    }
    false = [[text for text, true in statements if not true] for statements in checked]
    return figures, list(zip(asked, replies, false, strict=True))


def _read(kind: Kind, reply: str) -> Reply | None:
    try:
        return REPLIES[kind].model_validate_json(reply)
    except ValidationError:
        return None


def find_statements(reply: Reply, context: Context) -> list[tuple[str, bool]]:
    """Statements about counts, colours and absence in the answers of a reply, and whether each is true.

    Where a context names some groups only, they are taken for the whole scene, as nothing tells otherwise.
    """
    scene = context.known_scene()
    if isinstance(reply, Description):
        return _judge(reply.description, scene)
    if isinstance(reply, Caption):
        return _judge(reply.caption, scene)
    turns = reply.turns if isinstance(reply, Conversation) else [reply]
    found = [statement for turn in turns for statement in _judge(turn.answer, scene)]
    for turn in turns:
        if turn.answer == "There are none.":
            named = [NOUNS[word] for word in re.findall(rf"\b({KIND_WORDS})\b", turn.question)]
            found.append((f"{turn.question} none", not any(kind in totals_by_kind(scene) for kind in named)))
    return found


def _judge(text: str, scene: Scene) -> list[tuple[str, bool]]:
    text = ASIDE.sub("", text.lower())
    totals = totals_by_kind(scene)
    coloured = {(group.colour, group.kind): group.count for group in scene.groups}
    found = []
    for match in COUNTED.finditer(text):
        count, kind = COUNTS[match[1]], NOUNS[match[3]]
        actual = coloured.get((match[2], kind), 0) if match[2] else totals.get(kind, 0)
        found.append((match[0], actual == count))
    found += [(match[0], NUMBERS[len(scene.things)] == match[1]) for match in TOTAL.finditer(text)]
    found += [(match[0], NOUNS[match[1]] not in totals) for match in ABSENT.finditer(text)]
    found += [(match[0], (match[2], NOUNS[match[1]]) in coloured) for match in COLOURED.finditer(text)]
    return found
