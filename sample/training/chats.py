"""Chats to train the starter language model on: JSON written from contexts, and plain talk about a picture."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

import pyarrow as pa

from sample.scenes import KINDS, Scene, make_scene
from sample.training.clip_model import PATCH_GRID
from sample.training.contexts import Context, make_context
from sample.training.patch_labels import name_patches
from sample.training.supported import write_detail, write_reasoning, write_turns
from sample.wording import captions, conversation, detail, reasoning
from stages.replies import Kind
from stages.templates import Templates, TemplatesConfig
from stages.wordings import DETAIL

__all__ = ["KIND_WEIGHTS", "Chat", "Message", "stream_chats", "write_json"]


class Message(TypedDict):
    """One message. `patches` stand before its text: two words each, as `name_patches` gives them."""

    role: str
    content: str
    patches: NotRequired[list[tuple[str, str]]]


Chat = list[Message]

SCENES_AT_ONCE = 200
KIND_WEIGHTS: dict[Kind, int] = {"conversation": 3, "detail": 2, "reasoning": 2}


def stream_chats(first_seed: int, rng: random.Random) -> Iterator[Chat]:
    """Chats about the scenes from a seed on, without end: a third asks for JSON, the others are plain."""
    while True:
        scenes = [make_scene(seed) for seed in range(first_seed, first_seed + SCENES_AT_ONCE)]
        first_seed += SCENES_AT_ONCE
        for scene, templated in zip(scenes, _templated(scenes, rng), strict=True):
            for _ in range(2):
                if chat := _ask_for_json(scene, rng):
                    yield chat
                yield _talk_by_captions(scene, rng)
                yield _talk_by_patches(scene, templated, rng)


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
    turn = write_reasoning(context, rng) if rng.random() < 0.1 else None
    turns = [turn] if turn else list(dict.fromkeys([*write_turns(context, rng), *write_turns(context, rng)]))
    chat = _chat([(turn.question, turn.answer) for turn in turns])
    chat[0]["content"] = f"{told}\n{chat[0]['content']}"
    return chat


def _talk_by_patches(scene: Scene, templated: list[tuple[str, str]], rng: random.Random) -> Chat:
    """Questions of the kinds a connector is trained on, about a picture given as words for each patch."""
    choice = rng.random()
    if choice < 0.6 and templated:
        turns = rng.sample(templated, min(len(templated), 4))
    elif choice < 0.7:
        turns = [(rng.choice(DETAIL), detail(scene, rng))]
    else:
        told = [reasoning(scene, rng)] if choice < 0.75 else conversation(scene, rng)
        turns = [(turn.question, turn.answer) for turn in told]
    chat = _chat(turns)
    chat[0]["patches"] = name_patches(scene, PATCH_GRID)
    return chat


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


def _chat(turns: list[tuple[str, str]]) -> Chat:
    return [message for question, answer in turns for message in (_user(question), _assistant(answer))]


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}
