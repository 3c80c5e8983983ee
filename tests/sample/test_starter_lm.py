"""The starter language model, as it lies in the repository, and the text it is trained on."""

import json
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from sample import HELD_OUT_SEEDS
from sample.scenes import make_scene
from sample.training.chats import KIND_WEIGHTS, stream_chats, write_json
from sample.training.contexts import Context, make_context
from sample.training.lm_batches import NOTHING, encode
from sample.training.lm_metrics import find_statements, measure_replies
from sample.wording import captions
from stages.context import FENCE, user_message
from stages.replies import REPLIES, Description

FOLDER = Path(__file__).resolve().parents[2] / "sample" / "models" / "lm"
UNSEEN = HELD_OUT_SEEDS[:200]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(FOLDER)


def test_it_writes_valid_json_about_unseen_scenes(tokenizer: PreTrainedTokenizerFast) -> None:
    """Greedy replies to unseen contexts are JSON of the kind asked for, at least five in six."""
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    figures, _ = measure_replies(model, tokenizer, HELD_OUT_SEEDS[-6:])
    assert figures["valid_json"] >= 0.8


def test_the_template_has_the_prefix_property(tokenizer: PreTrainedTokenizerFast) -> None:
    """What is generated from is a prefix of what is trained on, turn by turn, so losses fall on the answer."""
    chat = next(chat for chat in stream_chats(UNSEEN[0], random.Random(0)) if len(chat) >= 4)
    for end in range(2, len(chat) + 1, 2):
        asked = tokenizer.apply_chat_template(chat[: end - 1], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(chat[:end], tokenize=False)
        assert whole == f"{asked}{chat[end - 1]['content']}<|end|>"


def test_system_messages_are_left_out(tokenizer: PreTrainedTokenizerFast) -> None:
    """The model is too small for instructions: a system message changes nothing."""
    asked = [{"role": "user", "content": "Write: detail"}]
    with_system = [{"role": "system", "content": "Be brief."}, *asked]
    assert tokenizer.apply_chat_template(with_system, tokenize=False) == tokenizer.apply_chat_template(
        asked, tokenize=False
    )


def test_the_fence_is_left_out(tokenizer: PreTrainedTokenizerFast) -> None:
    """The model was trained on contexts without a fence, so its template takes it away."""
    scene = make_scene(UNSEEN[0])
    asked = user_message(captions(scene), [], None, "detail")
    assert asked.startswith(FENCE[0])
    shown = tokenizer.apply_chat_template([{"role": "user", "content": asked}], tokenize=False)
    told = Context(replace(scene, things=()), tuple(captions(scene)), True, None, True).ask("detail")
    assert shown == f"<|begin|><|user|>{told}<|end|>"
    assert not any(mark in shown for mark in FENCE)


def test_training_ids_are_those_of_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    """Training encodes a chat as the template renders it, and weighs what the assistant says fully."""
    for chat in islice(stream_chats(UNSEEN[0], random.Random(1)), 60):
        encoded = encode(chat, tokenizer)
        rendered = tokenizer.apply_chat_template(chat, tokenize=False)
        patches = [second != NOTHING for second in encoded.seconds]
        text = [token for token, is_patch in zip(encoded.ids, patches, strict=True) if not is_patch]
        assert text == tokenizer(rendered, add_special_tokens=False)["input_ids"]
        assert sum(patches) == len(chat[0].get("patches", ()))
        assert not any(weight for weight, is_patch in zip(encoded.weights, patches, strict=True) if is_patch)
        said = [token for token, weight in zip(encoded.ids, encoded.weights, strict=True) if weight == 1]
        answers = [message["content"] for message in chat if message["role"] == "assistant"]
        assert tokenizer.decode(said) == "".join(f"{answer}<|end|>" for answer in answers)


def test_any_text_comes_back_from_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Bytes stand in for what the vocabulary lacks."""
    text = 'A man\'s "café" — 日本 🙂\n\n[0.123, 1.000]  x'
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_training_replies_are_true_and_of_the_asked_form() -> None:
    """Every reply the model learns from passes the pipeline's own check and says nothing false."""
    rng = random.Random(2)
    for seed in UNSEEN:
        context = make_context(make_scene(seed), rng)
        for kind in KIND_WEIGHTS:
            form, text = REPLIES[kind], write_json(kind, context, rng)
            if text is not None:
                statements = find_statements(form.model_validate_json(text), context)
                assert all(true for _, true in statements), (context, text, statements)


def test_replies_say_only_what_the_context_tells() -> None:
    """Without boxes no positions are stated; without any text no colours, sizes or backgrounds."""
    rng = random.Random(3)
    for seed in UNSEEN:
        scene = make_scene(seed)
        told = Context(scene, tuple(captions(scene)[:2]), False, None, complete=True)
        boxes_only = Context(scene, (), True, None, complete=False)
        for kind in KIND_WEIGHTS:
            assert "in different places" not in (write_json(kind, told, rng) or "")
            text = (write_json(kind, boxes_only, rng) or "").lower()
            assert not any(f"{group.colour} {group.kind}" in text for group in scene.groups)
            assert "background" not in text
            assert not any(word in text for word in (" are large", " are small", " is large", " is small"))


def test_false_statements_are_found() -> None:
    """The measure of truth notices a wrong count, colour and absence."""
    scene = next(s for s in map(make_scene, UNSEEN) if len(s.groups) == 1 and s.groups[0].count == 2)
    group = scene.groups[0]
    context = Context(scene, (), True, None, complete=False)

    def judge(text: str) -> list[bool]:
        reply = Description.model_validate_json(json.dumps({"description": text}))
        return [true for _, true in find_statements(reply, context)]

    noun = group.kind if group.kind == "fish" else "people" if group.kind == "person" else f"{group.kind}s"
    wrong = "pink" if group.colour != "pink" else "blue"
    assert judge(f"There are two {noun}.") == [True]
    assert judge(f"There are three {noun}.") == [False]
    assert judge(f"There are two {wrong} {noun}. The {noun} are {wrong}.") == [False, False]
    assert judge(f"There is no {group.kind} in the picture.") == [False]
