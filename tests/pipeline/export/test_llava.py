"""export --format llava: what LLaVA's loader makes of the files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.export.run import export
from tests.pipeline.export.finished import mixed, told

TOKEN = "<image>"


def as_llava_reads(folder: Path, split: str) -> list[tuple[dict[str, Any], list[Image.Image], str]]:
    """Read a split by the rules of LLaVA's loader: entry, images, and the text it tokenises.

    The rules (haotian-liu/LLaVA, llava/train/train.py, LazySupervisedDataset and preprocess_multimodal): the image is
    opened below the image folder; in an entry with an image every text that has a token loses its tokens and gets one
    in front; speakers must alternate and a human begins; then each token left in the text is an image.
    """
    read = []
    for entry in json.loads((folder / f"{split}.json").read_text()):
        names = [entry["image"]] if isinstance(entry.get("image"), str) else entry.get("image", [])
        images = [Image.open(folder / name).convert("RGB") for name in names]
        texts = []
        for turn, sentence in enumerate(entry["conversations"]):
            assert sentence["from"] == ("human", "gpt")[turn % 2]
            text = sentence["value"]
            if len(names) == 1 and TOKEN in text:
                text = f"{TOKEN}\n{text.replace(TOKEN, '').strip()}"
            texts.append(text)
        assert len(texts) % 2 == 0
        read.append((entry, images, "\n".join(texts)))
    return read


def test_llava_reads_every_row(dataset: Path, tmp_path: Path) -> None:
    """Each row comes back with its pictures, its words, and exactly one placeholder a picture, in the first turn."""
    export(str(dataset), "llava", str(tmp_path / "out"))
    for split, rows in mixed().items():
        entries = as_llava_reads(tmp_path / "out", split)
        for (entry, images, text), row in zip(entries, rows, strict=True):
            assert entry["id"] == row["id"]
            assert text.count(TOKEN) == len(images) == len(row["images"])
            turns = [(turn["from"], turn["value"]) for turn in entry["conversations"]]
            expected = [({"user": "human", "assistant": "gpt"}[role], words) for role, words in told(row["messages"])]
            expected[0] = ("human", f"{TOKEN}\n" * len(images) + expected[0][1])
            assert turns == expected
            for image, original in zip(images, row["images"], strict=True):
                assert image.tobytes() == Image.open(io.BytesIO(original["bytes"])).convert("RGB").tobytes()


def test_text_only_rows_have_no_image(dataset: Path, tmp_path: Path) -> None:
    """A row without a picture has no key `image`, which is how LLaVA tells."""
    export(str(dataset), "llava", str(tmp_path / "out"))
    entries = json.loads((tmp_path / "out" / "train.json").read_text())
    assert [entry["id"] for entry in entries if "image" not in entry] == ["s/4.a", "s/6.a"]


def test_a_picture_is_one_file(dataset: Path, tmp_path: Path) -> None:
    """Rows about the same picture name the same file, byte for byte the dataset's; no id is part of a path."""
    export(str(dataset), "llava", str(tmp_path / "out"))
    entries = json.loads((tmp_path / "out" / "train.json").read_text())
    assert entries[1]["image"] == entries[2]["image"] != entries[0]["image"]
    files = {file for file in (tmp_path / "out" / "images").rglob("*") if file.is_file()}
    contents = {image["bytes"] for rows in mixed().values() for row in rows for image in row["images"]}
    assert {file.read_bytes() for file in files} == contents
    assert len(files) == len(contents)
    assert {file.suffix for file in files} == {".jpg", ".png", ".webp"}
