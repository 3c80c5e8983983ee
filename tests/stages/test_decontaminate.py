"""decontaminate: planted copies of a benchmark's images and questions are found, and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from pydantic import ValidationError

from schemas.errors import FatalError
from stages.decontaminate import DecontaminateConfig
from tests.pipeline.runs import ROOT, run_inline, write_config

QUESTION = "In which year was the small bridge behind the two red houses painted for the last time?"
OTHER = "How many of the windows on the upper floor of the yellow building are open in this picture?"
SHORT = "Who painted the old bridge behind the houses?"


def picture(number: int) -> Image.Image:
    """Return one of many pictures, each unlike the others."""
    blocks = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(blocks).resize((256, 192), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, quality: int = 90) -> bytes:
    """Return an image as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_benchmark(folder: Path) -> dict[str, Any]:
    """Write three images and two questions, and return the setting that names them."""
    (folder / "bench" / "val").mkdir(parents=True)
    for number in range(3):
        (folder / "bench" / "val" / f"{number}.jpg").write_bytes(encoded(picture(number)))
    lines = [json.dumps({"question": text}) for text in (QUESTION, SHORT)]
    (folder / "questions.jsonl").write_text("\n".join(lines))
    return {"name": "vqa", "images": "bench", "table": "questions.jsonl"}


def run(
    folder: Path, rows: Sequence[Mapping[str, Any]], benchmarks: Sequence[Mapping[str, Any]], **settings: Any
) -> dict[str, tuple[str, str]]:
    """Run rows of an image and captions, and return reason and detail of each one that is rejected."""
    lines = []
    for number, row in enumerate(rows):
        (folder / f"{number}.jpg").write_bytes(row.get("bytes") or encoded(picture(100 + number)))
        given = {key: value for key, value in row.items() if key != "bytes"}
        lines.append(json.dumps({"id": f"s{number}", "image": f"{number}.jpg", "captions": ["a bridge"], **given}))
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    stages = [{"use": "download"}, {"use": "decontaminate", "benchmarks": list(benchmarks), **settings}]
    result, _ = run_inline(write_config(folder, stages))
    rejects = [row for part in result.view.parts() for row in result.view.rejects(part).to_pylist()]
    return {row["id"]: (row["reason"], row["detail"]) for row in rejects}


def test_planted_copies(tmp_path: Path) -> None:
    """A re-encoded and a resized image, and a question in other letters, are found with the item they match."""
    talk = [{"kind": "x", "provenance": "x", "messages": [{"role": "user", "content": SHORT.upper()}]}]
    rows: list[dict[str, Any]] = [
        {"bytes": encoded(picture(1), 40)},
        {"bytes": encoded(picture(2).resize((128, 96)))},
        {"captions": ["a bridge", f"look: {QUESTION.upper().replace(' ', '  ')} who knows"]},
        {"transcripts": [SHORT]},
        {"captions": [f"{SHORT} And what else?"]},
        {"captions": [OTHER, "Who painted it?"]},
        {"source_conversations": talk},
    ]
    assert run(tmp_path, rows, [write_benchmark(tmp_path)]) == {
        "s0": ("contaminated", "image of vqa: bench/val/1.jpg (0 of 64 bits differ)"),
        "s1": ("contaminated", "image of vqa: bench/val/2.jpg (0 of 64 bits differ)"),
        "s2": ("contaminated", "text of vqa: questions.jsonl, row 0"),
        "s3": ("contaminated", "text of vqa: questions.jsonl, row 1"),
        "s6": ("contaminated", "text of vqa: questions.jsonl, row 1"),
    }


def test_thirteen_words_in_a_row(tmp_path: Path) -> None:
    """Thirteen words of a question are a match, twelve are none, and `ngram` says how many it takes."""
    words = QUESTION.split()
    rows = [{"captions": [" ".join(words[2:15])]}, {"captions": [" ".join(words[2:14])]}]
    bench = write_benchmark(tmp_path)
    assert set(run(tmp_path, rows, [bench])) == {"s0"}
    assert set(run(tmp_path, rows, [bench], ngram=12)) == {"s0", "s1"}


def test_images_in_a_table(tmp_path: Path) -> None:
    """A parquet table of images and questions, as on the hub, is a benchmark too."""
    image = [{"bytes": encoded(picture(5)), "path": None}, {"bytes": encoded(picture(6)), "path": None}]
    pl.DataFrame({"image": image, "query": [OTHER, "short"]}).write_parquet(tmp_path / "mmmu.parquet")
    bench = {"name": "mmmu", "table": "mmmu.parquet", "text_columns": ["query"], "image_column": "image"}
    rows: list[dict[str, Any]] = [{"bytes": encoded(picture(6), 50)}, {"captions": [OTHER]}, {}]
    found = run(tmp_path, rows, [bench])
    assert {name: detail.split(" (")[0] for name, (_, detail) in found.items()} == {
        "s0": "image of mmmu: mmmu.parquet, row 1", "s1": "text of mmmu: mmmu.parquet, row 0",
    }


def test_the_benchmark_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    """A second run reuses the index; another file in the benchmark changes the outcome of rows that were done."""
    bench = write_benchmark(tmp_path)
    rows: list[dict[str, Any]] = [{"bytes": encoded(picture(1), 40)}, {"bytes": encoded(picture(7), 40)}]
    assert set(run(tmp_path, rows, [bench])) == {"s0"}
    (index,) = (tmp_path / "run/responses/decontaminate").glob("*-texts.arrow")
    before = index.stat().st_mtime_ns
    assert set(run(tmp_path, [*rows, {}], [bench])) == {"s0"}
    assert index.stat().st_mtime_ns == before
    (tmp_path / "bench" / "val" / "7.jpg").write_bytes(encoded(picture(7)))
    assert set(run(tmp_path, rows, [bench])) == {"s0", "s1"}


def test_embeddings_find_what_hashes_do_not(tmp_path: Path) -> None:
    """With a model, an image with the same embedding as a benchmark's is found although its hash is another."""
    bench, model = write_benchmark(tmp_path), str(ROOT / "sample" / "models" / "clip")
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(np.asarray(picture(1))[:, 6:-6])))
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"id": "a", "image": "a.jpg", "captions": ["a bridge"]}))
    stages = [
        {"use": "download"}, {"use": "clip_score", "model": model, "dtype": "float32"},
        {"use": "decontaminate", "benchmarks": [bench], "model": model, "near": 0, "cosine": 0.98},
    ]
    result, _ = run_inline(write_config(tmp_path, stages))
    (reject,) = result.view.rejects(0).to_pylist()
    assert reject["detail"].startswith("image like vqa: bench/val/1.jpg")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a broken image": ({"name": "b", "images": "broken"}, "b: broken/x.jpg: "),
    "a folder of no images": ({"name": "b", "images": "empty"}, "empty: holds no image"),
    "a table without the column": ({"name": "b", "table": "q.csv"}, "q.csv: has no column question .it has query"),
    "no table": ({"name": "b", "table": "notes.txt"}, "notes.txt: cannot be read: .txt is no table"),
    "a broken table": ({"name": "b", "table": "bad.jsonl"}, "bad.jsonl: cannot be read"),
}


@pytest.mark.parametrize(("benchmark", "said"), WRONG.values(), ids=WRONG)
def test_benchmark_that_cannot_be_read(tmp_path: Path, benchmark: dict[str, Any], said: str) -> None:
    """What of a benchmark cannot be read stops the run with one line: it could not be protected."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "x.jpg").write_bytes(encoded(picture(0))[:500])
    (tmp_path / "q.csv").write_text("query\nwhat?\n")
    (tmp_path / "notes.txt").write_text("what?\n")
    (tmp_path / "bad.jsonl").write_text("{what?\n")
    with pytest.raises(FatalError, match=said) as raised:
        run(tmp_path, [{}], [benchmark])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("benchmarks", "said"),
    [
        ([], "at least 1"), ([{"name": "a"}], "give images, table, or both"),
        ([{"name": "a", "images": "nowhere"}], "no such file or folder"),
        ([{"name": "a", "images": ".", "image_column": "image"}], "image_column is a column of a table"),
    ],
)
def test_settings_that_cannot_be(benchmarks: list[dict[str, Any]], said: str) -> None:
    """A benchmark that is nowhere, or holds nothing, is refused with the config."""
    with pytest.raises(ValidationError, match=said):
        DecontaminateConfig.model_validate({"use": "decontaminate", "benchmarks": benchmarks})
