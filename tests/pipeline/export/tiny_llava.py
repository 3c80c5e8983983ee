"""A vision-language model of seventeen thousand parameters, as LLaVA is built, and its processor."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

SIDE, PATCH = 16, 8
PATCHES = (SIDE // PATCH) ** 2

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}</s>\n{% endfor %}"
)


def tiny_processor() -> Any:
    """Return a processor over bytes, with 4 patches an image."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    special = ["<unk>", "<pad>", "</s>", "<image>"]
    tokenizer.train_from_iterator([""], trainers.BpeTrainer(special_tokens=special, initial_alphabet=letters))
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>",
            extra_special_tokens={"image_token": "<image>"},
        ),
        patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def tiny_llava(processor: Any) -> Any:
    """Return a model with random weights."""
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    return LlavaForConditionalGeneration(LlavaConfig(
        vision_config=CLIPVisionConfig(
            **small, num_hidden_layers=2, image_size=SIDE, patch_size=PATCH, projection_dim=16
        ),
        text_config=LlamaConfig(
            **small, num_hidden_layers=1, num_key_value_heads=2, vocab_size=len(processor.tokenizer)
        ),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
    ))
