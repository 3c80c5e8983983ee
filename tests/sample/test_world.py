"""The demo world: its plan and its committed files."""

import io
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sample import DEMO_SEEDS, HERE
from sample.build_world import HTML_PAGE, image_file
from sample.speech import decode_audio
from sample.world_plan import ROWS, SPOKEN, TROUBLES, Row, plan_rows

PLAN = plan_rows()


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def _of_trouble(trouble: str | None) -> list[Row]:
    return [row for row in PLAN if row.trouble == trouble]


def test_the_committed_tables_are_the_plan() -> None:
    """pairs.jsonl and truth.jsonl say what the generator says today."""
    assert _lines("pairs.jsonl") == [row.source() for row in PLAN]
    assert _lines("truth.jsonl") == [row.truth() for row in PLAN]


def test_trouble_is_planted_as_promised() -> None:
    """Each kind of trouble has its number of rows, all others are sound, and 48 sound rows are spoken."""
    counts = Counter(row.trouble for row in PLAN)
    sound = counts.pop(None)
    assert counts == TROUBLES
    assert sound == ROWS - sum(TROUBLES.values())
    assert sum(row.spoken for row in _of_trouble(None)) == SPOKEN


def test_demo_scenes_come_from_the_demo_seeds() -> None:
    """No scene of the demo can be in the training range."""
    assert all(row.scene.seed in DEMO_SEEDS for row in PLAN)


def test_a_mismatched_caption_shares_nothing_with_its_picture() -> None:
    """No kind of thing in the picture is named in the caption, and no boxes are given."""
    for row in _of_trouble("mismatched_caption"):
        words = " ".join(row.captions).lower()
        assert not any(thing.kind in words for thing in row.scene.things)
        assert not row.with_boxes


def test_duplicates_repeat_an_earlier_sound_row() -> None:
    """A duplicate shows the same scene as the earlier row it names, and no row is repeated twice."""
    rows = {row.id: row for row in PLAN}
    for row in _of_trouble("duplicate"):
        assert row.of is not None
        assert row.of < row.id
        assert rows[row.of].trouble is None
        assert rows[row.of].scene == row.scene
    assert len({row.of for row in _of_trouble("duplicate")}) == TROUBLES["duplicate"]


def test_boxes_are_complete_where_given() -> None:
    """A row with boxes has one for every thing, in range, rounded to four decimals."""
    for row in PLAN:
        if row.with_boxes:
            boxes = row.source()["boxes"]
            assert len(boxes) == len(row.scene.things)
            assert all(
                0 <= value <= 1 and value == round(value, 4) for item in boxes for value in item["box"]
            )


@pytest.mark.parametrize("row", [_of_trouble(None)[0], _of_trouble("duplicate")[0]], ids=lambda row: row.id)
def test_stored_images_are_what_the_generator_draws(row: Row) -> None:
    """The committed JPEG shows what would be drawn now (other machines may differ by a few levels)."""
    drawn = image_file(row)
    assert drawn is not None
    now, stored = (
        np.asarray(Image.open(source), dtype=float)
        for source in (io.BytesIO(drawn), HERE / "world" / "images" / f"{row.id}.jpg")
    )
    assert np.abs(now - stored).mean() < 2


def test_spoiled_images_are_spoiled() -> None:
    """The truncated ones do not decode, the page is HTML, and nothing lies behind a dead link."""
    images = HERE / "world" / "images"
    for row in _of_trouble("truncated_image"):
        with pytest.raises(OSError, match="truncated"):
            Image.open(images / f"{row.id}.jpg").load()
    assert all((images / f"{row.id}.jpg").read_bytes() == HTML_PAGE for row in _of_trouble("html_page"))
    assert not any((images / f"{row.id}.jpg").exists() for row in _of_trouble("dead_link"))


def test_the_world_is_small_enough_to_commit() -> None:
    """Images stay under 6 MB and audio under 4 MB, and every spoken row has its file."""
    size = {
        folder: sum(path.stat().st_size for path in (HERE / "world" / folder).iterdir())
        for folder in ("images", "audio")
    }
    assert size["images"] < 6e6
    assert size["audio"] < 4e6
    spoken = {f"{row.id}.ogg" for row in PLAN if row.spoken}
    assert {path.name for path in (HERE / "world" / "audio").iterdir()} == spoken


def test_a_spoken_description_is_short_enough_for_whisper() -> None:
    """A stored description decodes to 10 to 28 seconds."""
    path = min((HERE / "world" / "audio").iterdir())
    assert 10 < len(decode_audio(path.read_bytes())) / 16_000 < 28
