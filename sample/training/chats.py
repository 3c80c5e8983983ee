"""Chats to train the starter language model on: JSON written from contexts, and plain talk about a picture."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from sample.grammar import BACKGROUND_NAMES
from sample.scenes import KINDS, Scene, make_scene
from sample.training.contexts import Context, make_context
from sample.training.supported import write_detail, write_reasoning, write_turns
from sample.wording import captions, conversation, detail, reasoning
from stages.templates import Templates, TemplatesConfig
from stages.wordings import DETAIL

__all__ = ["Chat", "stream_chats", "write_json"]

Chat = list[dict[str, str]]

SCENES_AT_ONCE = 200
KIND_WEIGHTS = {"conversation": 3, "detail": 2, "reasoning": 2}


def stream_chats(first_seed: int, rng: random.Random) -> Iterator[Chat]:
    """Chats about the scenes from a seed on, without end: three in five ask for JSON, the others are plain."""
    while True:
        scenes = [make_scene(seed) for seed in range(first_seed, first_seed + SCENES_AT_ONCE)]
        first_seed += SCENES_AT_ONCE
        for scene, templated in zip(scenes, _templated(scenes, rng), strict=True):
            for chat in (_ask_for_json(scene, rng), _ask_for_json(scene, rng), _ask_for_json(scene, rng)):
                if chat:
                    yield chat
            yield _talk_by_captions(scene, rng)
            yield _talk_by_words(scene, templated, rng)


def write_json(kind: str, context: Context, rng: random.Random) -> str | None:
    """The reply to `context.ask(kind)`; None where the context tells too little for it."""
    reply: dict[str, Any] | None = None
    if kind == "conversation":
        turns = write_turns(context, rng)
        reply = {"turns": [asdict(turn) for turn in turns]} if turns else None
    elif kind == "detail":
        text = write_detail(context, rng)
        reply = {"description": text} if text else None
    else:
        turn = write_reasoning(context, rng)
        reply = asdict(turn) if turn else None
    return None if reply is None else json.dumps(reply)


def _ask_for_json(scene: Scene, rng: random.Random) -> Chat | None:
    context = make_context(scene, rng)
    kind = rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]
    reply = write_json(kind, context, rng)
    return None if reply is None else [_user(context.ask(kind)), _assistant(reply)]


def _talk_by_captions(scene: Scene, rng: random.Random) -> Chat:
    """Questions about a picture that captions tell of; only what the captions settle is asked."""
    five = captions(scene)
    context = Context(scene, (rng.choice(five[:2]), *rng.sample(five[2:], rng.randint(0, 2))), False, None, True)
    told = "\n".join(context.captions)
    turn = write_reasoning(context, rng) if rng.random() < 0.2 else None
    turns = [turn] if turn else write_turns(context, rng)
    return _chat(told, [(turn.question, turn.answer) for turn in turns])


def _talk_by_words(scene: Scene, templated: list[tuple[str, str]], rng: random.Random) -> Chat:
    """Questions of the kinds a connector is trained on, about a picture given as one line a thing."""
    things = rng.sample(scene.things, len(scene.things))
    lines = [f"{thing.size} {thing.colour} {thing.kind} {_percent(thing.centre)}" for thing in things]
    told = "\n".join([*lines, BACKGROUND_NAMES[scene.background]])
    choice = rng.random()
    if choice < 0.5 and templated:
        return _chat(told, rng.sample(templated, min(len(templated), 2)))
    if choice < 0.7:
        return _chat(told, [(rng.choice(DETAIL), detail(scene, rng))])
    turns = [reasoning(scene, rng)] if choice < 0.8 else conversation(scene, rng)
    return _chat(told, [(turn.question, turn.answer) for turn in turns])


def _percent(point: tuple[float, float]) -> str:
    return f"{100 * point[0]:.1f} {100 * point[1]:.1f}"


def _templated(scenes: list[Scene], rng: random.Random) -> list[list[tuple[str, str]]]:
    """What the pipeline's own templates ask and answer about each scene."""
    stage = Templates(TemplatesConfig(use="templates", absent_labels=list(KINDS)))
    stage.seed = rng.randrange(2**31)
    rows = [
        {
            "id": str(scene.seed),
            "captions": captions(scene)[:2],
            "boxes": [{"label": thing.kind, "box": list(thing.box)} for thing in scene.things],
            "best_caption": rng.randrange(2),
        }
        for scene in scenes
    ]
    schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
    written = stage.process(pa.Table.from_pylist(rows, schema=schema))
    return [
        [(chat["messages"][0]["content"], chat["messages"][1]["content"]) for chat in chats]
        for chats in written["template_conversations"].to_pylist()
    ]


def _chat(told: str, turns: list[tuple[str, str]]) -> Chat:
    """The first question follows what is told, as it follows a picture in a connector."""
    messages = [message for question, answer in turns for message in (_user(question), _assistant(answer))]
    messages[0] = _user(f"{told}\n{turns[0][0]}")
    return messages


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}
