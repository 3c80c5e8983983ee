"""The starter language model: its tokenizer with the chat template, and the model before training."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["CONTEXT", "make_language_model", "make_tokenizer"]

WIDTH, MLP_WIDTH, LAYERS, HEADS = 192, 512, 4, 6
CONTEXT = 1024
VOCABULARY = 1_600
SPECIAL = {"bos": "<|begin|>", "eos": "<|end|>", "pad": "<|pad|>"}
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")

# Pieces that may become one token each: the frame of replies and contexts, halves of numbers, words.
FRAMES = (
    r'\{"turns": \[\{"question": "|\{"question": "|\{"description": "',
    r'[.?]?", "answer": "|[.?]?"\}, \{"question": "|[.?]?"\}\]\}|[.?]?"\}',
    r"\]?\n\nWrite: |\]?\n\nSpoken description:\n|\n\nObjects:\n|\]\n|Captions:\n- |\n- ",
    r'<points? x1?="|" [xy]\d?="|" alt="|</points?>',
)
PIECES = "|".join([*FRAMES, r"[:\[, ]*[01]\.\d(?=\d\d)", r"\d{1,2}", r" ?\p{L}+", r" ?[^\s\p{L}\p{N}]+", r"\s"])

# A model of this size cannot follow instructions: what to write is told by the last line of the user's
# message, and system messages, which are long and may be worded anew any day, are left out.
CHAT_TEMPLATE = (
    "{# System messages are left out: the model is too small to read instructions. So is the fence around the data. #}"
    "{{- bos_token -}}"
    "{%- for message in messages if message.role != 'system' -%}"
    "{%- set content = message.content | replace('<data>\\n', '') | replace('\\n</data>', '') -%}"
    "{{- '<|' + message.role + '|>' + content + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the texts; it can write any other text too."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special: list[str | AddedToken] = [*SPECIAL.values(), *ROLES]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name}_token": token for name, token in SPECIAL.items()},
        additional_special_tokens=list(ROLES),
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_language_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained Llama for that tokenizer, which ends its turns with `<|end|>`."""
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in SPECIAL.items()}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=MLP_WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        **ids,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**ids, do_sample=False)
    return model
