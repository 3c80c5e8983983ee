"""The transformers engine with a tiny model of our own, and with stories260K where it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tiny_chat import CONTEXT, save_tiny_chat

from schemas.errors import FatalError, Reject
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message
from stages.models.chat_transformers import TransformersChat

STORIES = Path(__file__).resolve().parents[3] / "../shared/data/weights/stories260K"
LEARNT = ('{"description":', ' "A red', " boat.", '"}')


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_chat(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_chat(tmp_path_factory.mktemp("taught"), LEARNT)


def request(text: str) -> ChatRequest:
    messages = (Message(role="system", content="Be kind."), Message(role="user", content=text))
    return ChatRequest(messages, {}, "detail")


def open_tiny(model: str, max_tokens: int = 12) -> TransformersChat:
    return TransformersChat(ChatConfig(engine="transformers", model=model, max_tokens=max_tokens))


def answers(chat: TransformersChat, texts: list[str]) -> list[ChatReply | Reject]:
    by_position = dict(chat.complete([request(text) for text in texts]))
    return [by_position[position] for position in range(len(texts))]


def test_reply_stops_at_the_end_token(taught: str) -> None:
    """The learnt reply comes back whole, without the end token, which is counted."""
    [reply] = answers(open_tiny(taught, 100), ["words"])
    assert isinstance(reply, ChatReply)
    assert (reply.text, reply.finish_reason) == ('{"description": "A red boat."}', "stop")
    assert reply.output_tokens == len(LEARNT) + 1
    assert reply.input_tokens == len("<s>Be kind.") + 1 + len("<u>words") + 1 + len("<a>")


def test_reply_that_does_not_end_is_cut(taught: str) -> None:
    """At max_tokens the reply is cut and says so."""
    [reply] = answers(open_tiny(taught, 2), ["words"])
    assert isinstance(reply, ChatReply)
    assert (reply.text, reply.finish_reason, reply.output_tokens) == ('{"description": "A red', "length", 2)


def test_padding_does_not_change_replies(untrained: str) -> None:
    """Requests of many lengths, answered in batches, get the replies they get alone."""
    chat = open_tiny(untrained)
    texts = ["word " * (number % 7 + 1) + str(number) for number in range(20)]
    assert answers(chat, texts) == [answers(chat, [text])[0] for text in texts]


def test_prompt_beyond_the_context_costs_its_request(untrained: str) -> None:
    """A prompt that does not fit is rejected, those beside it are answered."""
    first, second, third = answers(open_tiny(untrained), ["a", "b" * CONTEXT, "c"])
    assert isinstance(first, ChatReply)
    assert isinstance(second, Reject)
    assert second.reason == "prompt_too_long"
    assert str(CONTEXT) in second.detail
    assert isinstance(third, ChatReply)


def test_reply_stays_within_the_context(untrained: str) -> None:
    """Near the end of the context the reply is shorter than max_tokens."""
    [reply] = answers(open_tiny(untrained, 1000), ["b" * (CONTEXT - 30)])
    assert isinstance(reply, ChatReply)
    assert reply.input_tokens + reply.output_tokens <= CONTEXT


def test_special_tokens_in_the_data_stay_text(untrained: str) -> None:
    """A caption that writes the end-of-turn token out cannot end the turn: it is read letter by letter."""
    [reply] = answers(open_tiny(untrained), ["<end>"])
    assert isinstance(reply, ChatReply)
    assert reply.input_tokens > len("<s>Be kind.") + 1 + len("<u><end>") + 1


def test_retrained_model_is_another_identity(tmp_path: Path, untrained: str) -> None:
    """Replies of older weights in the same folder are not taken for the new ones'."""
    folder = tmp_path / "model"
    shutil.copytree(untrained, folder)
    before = open_tiny(str(folder)).identity
    assert open_tiny(str(folder)).identity == before
    save_tiny_chat(folder, LEARNT)
    assert open_tiny(str(folder)).identity != before


def test_folder_without_a_model_stops_the_run(tmp_path: Path) -> None:
    """What cannot be loaded is one clear line."""
    with pytest.raises(FatalError, match="does not load") as caught:
        open_tiny(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_model_without_chat_template_stops_the_run(tmp_path: Path, untrained: str) -> None:
    """A model that cannot chat is named."""
    folder = tmp_path / "model"
    shutil.copytree(untrained, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(FatalError, match="chat template"):
        open_tiny(str(folder))


def test_sampling_is_refused(untrained: str) -> None:
    """The engine is greedy: another temperature is a mistake in the config."""
    with pytest.raises(ValidationError, match="temperature"):
        ChatConfig(engine="transformers", model=untrained, temperature=0.7)


def test_model_folder_is_relative_to_the_config(untrained: str) -> None:
    """A local model's path is resolved like any other path of a config; a server's model name is left alone."""
    folder = Path(untrained)
    context = {"folder": str(folder.parent)}
    local = ChatConfig.model_validate({"engine": "transformers", "model": folder.name}, context=context)
    remote = ChatConfig.model_validate({"engine": "openai", "model": folder.name}, context=context)
    assert (local.model, remote.model) == (untrained, folder.name)


@pytest.mark.skipif(not STORIES.exists(), reason="stories260K is not here")
def test_real_weights_tell_a_story(tmp_path: Path) -> None:
    """With a template that only copies, stories260K goes on in English and ends with its own end sign."""
    shutil.copytree(STORIES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text("<s>{{ messages[-1]['content'] }}")
    generation = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps({**generation, "eos_token_id": [1, 2]}))
    chat = open_tiny(str(tmp_path), 400)
    replies = answers(chat, ["Once upon a time", "Once upon a time, there was a"])
    assert all(isinstance(reply, ChatReply) and " the " in reply.text for reply in replies)
    assert {reply.finish_reason for reply in replies if isinstance(reply, ChatReply)} == {"stop"}
