from __future__ import annotations

import io
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tiny_clip import save_tiny_clip, save_tiny_siglip

from stages.clip_score import ClipScore, ClipScoreConfig

LONG = "A dog. It runs over a very green meadow."


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> ClipScore:
    folder = save_tiny_clip(tmp_path_factory.mktemp("clip"))
    made = ClipScore(ClipScoreConfig(use="clip_score", model=str(folder), device="cpu", dtype="float32"))
    made.open()
    return made


def image(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 18), colour).save(buffer, "PNG")
    return buffer.getvalue()


def run(stage: ClipScore, *rows: dict[str, Any], reasons: Set[str] = frozenset()) -> list[dict[str, Any]]:
    schema = pa.schema([("id", pa.string()), *stage.consumes])
    found = stage.process(pa.Table.from_pylist([{"id": "x", **row} for row in rows], schema=schema)).to_pylist()
    assert {row["_reason"] for row in found} <= {None, *stage.reasons, *reasons}
    return found


def test_best_caption_gives_the_score(stage: ClipScore) -> None:
    """Every caption gets a score, and the row's is the highest of them."""
    [row] = run(stage, {"image_bytes": image("red"), "captions": ["a cat", "blue", "x", "two dogs"]})
    scores = row["clip_scores"]
    assert len(set(scores)) == 4
    assert all(-1 <= score <= 1 for score in scores)
    assert row["clip_score"] == max(scores)
    assert row["best_caption"] == scores.index(max(scores))


def test_score_is_the_rounded_cosine(stage: ClipScore) -> None:
    """The score is the dot product of the scorer's vectors, to five decimals."""
    [row] = run(stage, {"image_bytes": image("red"), "captions": ["a cat"]})
    [picture] = stage.scorer.embed_images([image("red")])
    assert not isinstance(picture, Exception)
    [text] = stage.scorer.embed_texts(["a cat"])
    assert row["clip_score"] == pytest.approx(float(picture @ text), abs=6e-6)
    assert row["clip_score"] == pytest.approx(round(row["clip_score"], 5), abs=1e-7)
    assert np.array_equal(row["image_embedding"], picture.astype(np.float16))


def test_siglip_also_gives_the_probability_of_the_best_caption(stage: ClipScore, tmp_path: Path) -> None:
    """It is null for CLIP."""
    siglip = ClipScore(ClipScoreConfig(use="clip_score", model=str(save_tiny_siglip(tmp_path)), device="cpu"))
    siglip.open()
    row = {"image_bytes": image("red"), "captions": ["a cat", "blue", "two dogs"]}
    [told] = run(siglip, row)
    assert told["clip_probability"] == pytest.approx(siglip.scorer.probability(max(told["clip_scores"])), rel=1e-5)
    assert 0 < told["clip_probability"] < 1
    assert run(stage, row)[0]["clip_probability"] is None


def test_image_that_cannot_be_decoded_costs_one_row(stage: ClipScore) -> None:
    """It is rejected with what the decoder says; the others have their scores."""
    good = {"image_bytes": image("red"), "captions": ["a cat"]}
    rows = [good, {"image_bytes": image("red")[:60], "captions": ["a cat"]}, good]
    found = run(stage, *rows, reasons={"error"})
    assert [row["_reason"] for row in found] == [None, "error", None]
    assert found[1]["_detail"]
    assert found[0] == found[2] == run(stage, good)[0]


def test_long_caption_is_the_mean_of_its_pieces(stage: ClipScore) -> None:
    """A caption beyond the context is scored whole, as the mean over its pieces."""
    pieces = stage.scorer.split(LONG)
    assert len(pieces) > 2
    [whole] = run(stage, {"image_bytes": image("red"), "captions": [LONG]})
    [parts] = run(stage, {"image_bytes": image("red"), "captions": pieces})
    assert whole["clip_score"] == pytest.approx(float(np.mean(parts["clip_scores"])), abs=2e-5)


def test_rows_do_not_depend_on_each_other(stage: ClipScore) -> None:
    """A row's columns are the same bits whether it is scored alone or beside others."""
    rows = [
        {"image_bytes": image(colour), "captions": [colour, "a cat", LONG]}
        for colour in ("red", "green", "blue", "white", "black", "pink")
    ]
    together = run(stage, *rows)
    assert [run(stage, row)[0] for row in rows] == together
    assert len({row["clip_score"] for row in together}) == len(rows)


def test_rows_without_image_or_caption_are_rejected(stage: ClipScore) -> None:
    """What cannot be scored says why, blank captions have no score, and the rest goes on."""
    rows = run(
        stage,
        {"image_bytes": None, "captions": ["a cat"]},
        {"image_bytes": image("red"), "captions": None},
        {"image_bytes": image("red"), "captions": ["", " ", None]},
        {"image_bytes": image("red"), "captions": [" ", "a cat"]},
    )
    assert [row["_reason"] for row in rows] == ["no_image", "no_caption", "no_caption", None]
    assert rows[3]["clip_scores"] == [None, rows[3]["clip_score"]]
    assert rows[3]["best_caption"] == 1


def test_batch_may_hold_nothing_to_score(stage: ClipScore) -> None:
    """A batch of nothing but rejects is no error."""
    assert run(stage, {"image_bytes": None, "captions": None})[0]["_reason"] == "no_image"


def test_model_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """The stage names its model file, so that another model scores anew."""
    made = ClipScore(ClipScoreConfig(use="clip_score", model=str(tmp_path)))
    assert made.model_files() == [str(tmp_path)]
