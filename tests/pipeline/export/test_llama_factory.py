"""export --format llama_factory: what LLaMA-Factory makes of the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.export.run import export
from tests.pipeline.export.finished import mixed, told

PLACEHOLDERS = {"images": "<image>", "videos": "<video>", "audios": "<audio>"}


def as_llama_factory_reads(dataset_dir: Path, name: str) -> list[tuple[list[tuple[str, str]], list[str]]]:
    """Read a dataset by LLaMA-Factory's rules: its messages and the paths of its images.

    The rules (hiyouga/LLaMA-Factory, src/llamafactory/data: parser.py, converter.py, mm_plugin.py): the dataset is
    named in dataset_info.json; tags say which role is whose; users and assistants alternate, an even number of them;
    media are paths below the dataset's folder; as many placeholders of a kind as media of that kind.
    """
    info = json.loads((dataset_dir / "dataset_info.json").read_text())[name]
    assert info["formatting"] == "sharegpt"
    tags, columns = info["tags"], info["columns"]
    whose = {tags["user_tag"]: "user", tags["assistant_tag"]: "assistant"}
    read = []
    for entry in json.loads((dataset_dir / info["file_name"]).read_text()):
        messages = [(whose[turn[tags["role_tag"]]], turn[tags["content_tag"]]) for turn in entry[columns["messages"]]]
        assert len(messages) % 2 == 0
        assert [role for role, _ in messages] == ["user", "assistant"] * (len(messages) // 2)
        for column, token in PLACEHOLDERS.items():
            media: list[Any] = entry[columns[column]] if column in columns else []
            assert sum(content.count(token) for _, content in messages) == len(media)
        read.append((messages, entry[columns["images"]]))
    return read


def test_llama_factory_reads_every_row(dataset: Path, tmp_path: Path) -> None:
    """Each row comes back with its words and its pictures, as many placeholders as pictures, whatever its texts say."""
    export(str(dataset), "llama_factory", str(tmp_path / "out"))
    for split, rows in mixed().items():
        for (messages, images), row in zip(
            as_llama_factory_reads(tmp_path / "out", f"showtell_{split}"), rows, strict=True
        ):
            (role, first), *others = told(row["messages"])
            assert messages == [(role, "<image>" * len(images) + first), *others]
            assert len(images) == len(row["images"])
            for name, original in zip(images, row["images"], strict=True):
                assert (tmp_path / "out" / name).read_bytes() == original["bytes"]
                Image.open(tmp_path / "out" / name).load()
