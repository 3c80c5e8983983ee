"""A run's samples in one file that needs no server: the same page, its data inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline.run_dir import RunDirectory
from pipeline.viewer.index import Index
from pipeline.viewer.query import Query
from pipeline.viewer.rows import FACETS
from pipeline.viewer.samples import audio_type, media, plain, sample, shrunk
from pipeline.viewer.server import described
from schemas.errors import ConfigError, Mistake

__all__ = ["SAMPLES", "write_static"]

SAMPLES = 300
"""Samples in the file: every reason for which one was rejected, and kept ones from the whole run."""

REJECTED_SHARE = 1 / 3

IMAGE_PIXELS = 512
"""Longer side of an image in the file."""

AUDIO_BYTES = 24 << 20
"""Bytes of recordings in the file, all together; later ones are left out, and the page says so."""


def write_static(run: RunDirectory, file: str) -> int:
    """Write the page with some of a run's samples.

    Args:
        run: the run.
        file: where to; a file that is there is replaced.

    Returns:
        How many samples are in it.

    Raises:
        ConfigError: the file cannot be written, or the run has no samples yet.
    """
    index = Index(run)
    try:
        index.start()
        index.wait()
        if not index.rows:
            problem = index.problems[0] if index.problems else "holds no samples yet"
            raise ConfigError("command line", [Mistake("RUN_DIR", run.storage.url, problem)])
        rows = index.read(_chosen(index), text=True)
        page = _page(_data(index, str(run.describe().get("config", {}).get("name", "")), rows))
    finally:
        index.close()
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError("command line", [Mistake("--static", file, error.strerror or str(error))]) from error
    return len(rows)


def _chosen(index: Index) -> list[int]:
    """Return the numbers of the rows to show, evenly over the run, in order."""
    def found(*chosen: tuple[str, tuple[str, ...]]) -> list[int]:
        return index.find(Query(chosen=chosen)).tolist()  # type: ignore[no-any-return]

    reasons = [found(("reason", (reason,))) for reason in index.facets["reason"]]
    room = max(round(SAMPLES * REJECTED_SHARE), SAMPLES - index.rows + sum(map(len, reasons)))
    rejected: list[int] = []
    for place, rows in enumerate(sorted(reasons, key=len)):
        rejected += _spread(rows, (room - len(rejected)) // (len(reasons) - place))
    others = sorted({*found()} - {number for rows in reasons for number in rows})
    return sorted([*rejected, *_spread(others, SAMPLES - len(rejected))])


def _spread(rows: Sequence[int], count: int) -> list[int]:
    """Return so many of the rows, evenly spaced."""
    if len(rows) <= count:
        return list(rows)
    return [rows[place * len(rows) // count] for place in range(count)]


def _data(index: Index, name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the page would ask a server for; counts are of the samples in the file."""
    layout = index.layout
    counts: dict[str, dict[str, int]] = {facet: {} for facet in FACETS}
    for row in rows:
        for facet, counted in counts.items():
            values = row[facet] if isinstance(row[facet], list) else [row[facet]]
            for value in values:
                if value is not None:
                    counted[value] = counted.get(value, 0) + 1
    facets = {facet: dict(sorted(each.items(), key=lambda item: -item[1])) for facet, each in counts.items()}
    return {
        "run": {**described(index, name), "facets": facets, "rows": len(rows), "of": index.total},
        "rows": rows,
        "samples": {f"{row['part']}/{row['row']}": sample(layout, row["part"], row["row"]) for row in rows},
        "media": dict(_media(index, rows)),
    }


def _media(index: Index, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield ``image/PART/ROW`` and ``audio/PART/ROW`` with the data as URL."""
    room = AUDIO_BYTES
    for row in rows:
        place = row["part"], row["row"]
        if row["has_image"]:
            with suppress(ValueError):  # the page says that this image cannot be shown
                small = shrunk(media(index.layout, *place, "image"), IMAGE_PIXELS)
                yield "image/{}/{}".format(*place), _url("image/webp", small)
        if row["has_audio"]:
            data = media(index.layout, *place, "audio")
            room -= len(data)
            if room >= 0:
                yield "audio/{}/{}".format(*place), _url(audio_type(data), data)


def _page(data: dict[str, Any]) -> str:
    """Return the page. Its policy names the one script and the one style it may run by their hashes."""
    folder = resources.files("pipeline.viewer") / "page"
    html, script, style, icon = (
        (folder / name).read_text(encoding="utf-8") for name in ("index.html", "view.js", "view.css", "icon.svg")
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'"
    )
    # Nothing in the data can end the element it stands in.
    inside = json.dumps(plain(data), ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    for old, new in (
        ('<meta charset="utf-8">',
         f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
         '<meta name="referrer" content="no-referrer">'),
        ('href="icon.svg"', f'href="{_url("image/svg+xml", icon.encode())}"'),
        ('<link rel="stylesheet" href="view.css">', f"<style>{style}</style>"),
        ('<script src="view.js" defer></script>',
         f'<script type="application/json" id="data">{inside}</script>\n<script>{script}</script>'),
    ):
        html = html.replace(old, new)
    return html


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
