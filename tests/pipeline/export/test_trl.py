"""TRL's SFTTrainer takes the dataset as it is, and what --format trl makes of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, Features, Image, List, Value, load_dataset, load_from_disk
from PIL import Image as Pictures
from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from pipeline.export.run import export
from tests.pipeline.export.finished import HOSTILE, mixed, picture, row, saved, told
from tests.pipeline.export.tiny_llava import PATCHES, tiny_llava, tiny_processor
from tests.pipeline.runs import PROBES, run_inline, write_config


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache of the library from elsewhere answers."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def trained(dataset: Dataset, folder: Path, steps: int = 4) -> SFTTrainer:
    """Train a tiny model on a dataset and return its trainer."""
    set_seed(0)
    processor = tiny_processor()
    settings = SFTConfig(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, learning_rate=1e-2, logging_steps=1,
        use_cpu=True, bf16=False, report_to=[], save_strategy="no", max_length=None,
        disable_tqdm=True, seed=0,
    )
    trainer = SFTTrainer(model=tiny_llava(processor), args=settings, train_dataset=dataset, processing_class=processor)
    trainer.train()
    return trainer


def losses(trainer: SFTTrainer) -> list[float]:
    """Return the loss of each step."""
    return [step["loss"] for step in trainer.state.log_history if "loss" in step]


def test_the_dataset_as_it_is(tmp_path: Path) -> None:
    """A finished run's dataset, opened by load_from_disk, trains a model: pictures reach it, it learns.

    The source's own conversations name the placeholder that the trainer puts where the image goes.
    """
    stages = [{"use": f"{PROBES}{name}"} for name in ("Pictures", "Length", "Talk")]
    talk = {"kind": "chat", "messages": row(0, None, HOSTILE, "An <image> is a token.")["messages"]}
    rows = [{"captions": ["a" * (number % 7 + 1)], "source_conversations": [talk]} for number in range(30)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    run_inline(write_config(tmp_path, [*stages, {"use": "shards"}], part_rows=25))
    dataset = load_from_disk(str(tmp_path / "run" / "dataset"))
    trainer = trained(dataset["train"], tmp_path / "out")
    (first, *_, last) = losses(trainer)
    assert last < first
    batch: dict[str, Any] = next(iter(trainer.get_train_dataloader()))
    assert batch["pixel_values"].shape == (4, 3, 16, 16)
    image_token = trainer.model.config.image_token_index
    assert (batch["input_ids"] == image_token).sum(dim=1).tolist() == [PATCHES] * 4
    set_seed(0)
    untrained = tiny_llava(tiny_processor())
    moved = [
        not torch.equal(before, after) for before, after in zip(
            untrained.model.multi_modal_projector.parameters(), trainer.model.model.multi_modal_projector.parameters(),
            strict=True,
        )
    ]
    assert all(moved)


def test_pictures_and_plain_texts_together(tmp_path: Path) -> None:
    """A batch of rows with a picture, without and with several turns trains as well."""
    rows = [row(0), row(1, []), row(2, [picture(2, "png")], "a?", "b.", "c?", "d."), row(3, [])]
    dataset = load_from_disk(str(saved(tmp_path / "dataset", {"train": rows})))
    assert len(losses(trained(dataset["train"], tmp_path / "out"))) == 4


def test_export_gives_every_row(dataset: Path, tmp_path: Path) -> None:
    """load_dataset(DIR) gives images and messages of every split, as the dataset has them."""
    export(str(dataset), "trl", str(tmp_path / "out"))
    loaded = load_dataset(str(tmp_path / "out"))
    assert loaded["train"].features == Features({
        "id": Value("string"), "kind": Value("string"), "images": List(Image()),
        "messages": List({"role": Value("string"), "content": Value("string")}),
    })
    for split, rows in mixed().items():
        for read, expected in zip(loaded[split], rows, strict=True):
            assert read["id"] == expected["id"]
            assert [(turn["role"], turn["content"]) for turn in read["messages"]] == told(expected["messages"])
            originals = [Pictures.open(io.BytesIO(image["bytes"])) for image in expected["images"]]
            assert [image.tobytes() for image in read["images"]] == [image.tobytes() for image in originals]


def test_export_is_lines(dataset: Path, tmp_path: Path) -> None:
    """A line a row, each JSON by itself, its pictures beside it."""
    export(str(dataset), "trl", str(tmp_path / "out"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "train" / "metadata.jsonl").read_bytes().splitlines()]
    assert [line["id"] for line in lines] == [expected["id"] for expected in mixed()["train"]]
    for line, expected in zip(lines, mixed()["train"], strict=True):
        contents = [(tmp_path / "out" / "train" / name).read_bytes() for name in line["images_file_names"]]
        assert contents == [image["bytes"] for image in expected["images"]]


def test_export_trains_where_texts_hold_placeholders(tmp_path: Path) -> None:
    """A literal `<image>` in a text would make the processor look for another picture; exported, it trains."""
    rows = [row(number, None, HOSTILE, "An <image> is a token.") for number in range(4)]
    dataset = saved(tmp_path / "dataset", {"train": rows})
    with pytest.raises(ValueError, match="image"):
        trained(load_from_disk(str(dataset))["train"], tmp_path / "before", steps=1)
    manifest = export(str(dataset), "trl", str(tmp_path / "out"))
    assert manifest["changed_texts"] == 8
    assert len(losses(trained(load_dataset(str(tmp_path / "out"))["train"], tmp_path / "after", steps=2))) == 2
