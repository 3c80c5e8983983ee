"""Write the demo world's files: `python -m sample.build_world`.

Next to this file come `pairs.jsonl` (the source table), `truth.jsonl` (what was planted, for the demo's
report, never for a stage) and `world/`: images, audio and the headers that some images are served with.
Building again on the same machine gives the same bytes. Needs espeak-ng.
"""

import argparse
import io
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from sample import HERE
from sample.scenes import draw
from sample.speech import VOICES, encode_ogg, speak
from sample.wording import spoken_description
from sample.world_plan import Row, plan_rows

__all__ = ["OPT_OUT_HEADERS", "build", "image_file", "main", "speech_file"]

JPEG_QUALITY = 88
DUPLICATE_QUALITY = 72
DUPLICATE_SCALE = 0.88
KEPT_OF_TRUNCATED = 0.45
OPT_OUT_HEADERS = {"X-Robots-Tag": "noai"}
HTML_PAGE = b"""<!doctype html>
<html><head><title>Moved</title></head>
<body><h1>This picture has moved</h1><p>Please look for it on our new site.</p></body></html>
"""


def image_file(row: Row) -> bytes | None:
    """The bytes behind a row's image URL; None where nothing is stored (a dead link, a slow host)."""
    if row.trouble in ("dead_link", "slow_host"):
        return None
    if row.trouble == "html_page":
        return HTML_PAGE
    image = draw(row.scene)
    if row.trouble == "duplicate":
        smaller = round(image.width * DUPLICATE_SCALE), round(image.height * DUPLICATE_SCALE)
        return _jpeg(image.resize(smaller, Image.Resampling.LANCZOS), DUPLICATE_QUALITY)
    data = _jpeg(image, JPEG_QUALITY)
    return data[: int(len(data) * KEPT_OF_TRUNCATED)] if row.trouble == "truncated_image" else data


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def speech_file(row: Row) -> bytes:
    """The row's scene described aloud, as Ogg Opus, by a voice, speed and pitch of the scene's own."""
    rng = random.Random(f"voice {row.scene.seed}")
    samples = speak(
        spoken_description(row.scene), rng.choice(VOICES), rng.randint(160, 180), rng.randint(35, 65)
    )
    return encode_ogg(samples)


def build(to: Path = HERE) -> list[Row]:
    """Write the whole world into a folder, replacing an older one; returns its rows."""
    rows = plan_rows()
    for folder, old_files in (("images", "*.jpg"), ("audio", "*.ogg")):
        (to / "world" / folder).mkdir(parents=True, exist_ok=True)
        for old in (to / "world" / folder).glob(old_files):
            old.unlink()
    for row in rows:
        image = image_file(row)
        if image is not None:
            (to / "world" / "images" / f"{row.id}.jpg").write_bytes(image)
        if row.spoken:
            (to / "world" / "audio" / f"{row.id}.ogg").write_bytes(speech_file(row))
    headers = {f"{row.id}.jpg": OPT_OUT_HEADERS for row in rows if row.trouble == "opted_out"}
    (to / "world" / "headers.json").write_text(json.dumps(headers, indent=2) + "\n")
    _write_lines(to / "pairs.jsonl", (row.source() for row in rows))
    _write_lines(to / "truth.jsonl", (row.truth() for row in rows))
    return rows


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    """Build the world and say what it weighs."""
    parser = argparse.ArgumentParser(prog="python -m sample.build_world", description="Build the demo world.")
    parser.add_argument("--to", type=Path, default=HERE, help="the folder to write into (default: sample/)")
    to: Path = parser.parse_args().to
    rows = build(to)
    for folder in ("images", "audio"):
        sizes = [path.stat().st_size for path in (to / "world" / folder).iterdir()]
        print(f"{folder}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")
    print(f"{len(rows)} rows, {sum(row.trouble is not None for row in rows)} of them with planted trouble")


if __name__ == "__main__":
    main()
