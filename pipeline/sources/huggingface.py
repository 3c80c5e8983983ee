"""``kind: huggingface``: a dataset of the Hugging Face ``datasets`` library, in a local folder or on the hub.

The columns of PixMo (Deitke et al. 2024, allenai/pixmo-*) are understood: ``caption``, ``transcripts``, ``points`` with
``label``, ``question`` with ``answer``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.sources.canonical import BAD_ROW, SourceRow, canonical, rename
from pipeline.sources.table import check_columns
from schemas.config import SourceConfig
from schemas.errors import ConfigError, Mistake, Reject, nearest
from stages.context import one_line
from stages.templating.points import points_text

__all__ = ["files", "read"]

SAVED = ("dataset_dict.json", "state.json")
"""What ``save_to_disk`` leaves in a folder."""
USUAL_SPLIT = "train"
BATCH_ROWS = 256
TURN = re.compile(r"\[(USER|ASSISTANT)\]")
"""How pixmo-cap-qa marks whose words follow, where a question goes over several turns."""


def files(path: str) -> list[str]:
    """Return the files of a local dataset, sorted; none for a hub id."""
    return sorted(str(file) for file in Path(path).rglob("*") if file.is_file())


def read(_files: list[str], config: SourceConfig) -> Iterator[SourceRow]:
    """Yield the rows of one split, media as the bytes or path they are stored as."""
    import httpx
    from datasets.exceptions import DatasetsError

    (path,) = config.path
    folder = path if Path(path).is_dir() else ""
    try:
        for number, row in enumerate(_rows(path, config)):
            if number == 0:
                check_columns(path, row, config)
            yield _inside(_sample(rename(row, config.columns), folder), folder)
    except (
        OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, pa.ArrowException, DatasetsError,
        httpx.HTTPError,
    ) as error:
        problem = f"cannot be read: {type(error).__name__}: {error}"
        raise ConfigError(path, [Mistake("source.path", path, problem)]) from error


def _rows(path: str, config: SourceConfig) -> Iterator[dict[str, Any]]:
    # In Arrow's form nothing is decoded: an image stays {bytes, path}.
    for batch in _split(path, config).with_format("arrow").iter(batch_size=BATCH_ROWS):
        yield from batch.to_pylist()


def _split(path: str, config: SourceConfig) -> Any:
    """Return the split to read, as a ``Dataset`` or ``IterableDataset``."""
    import datasets

    if any((Path(path) / name).is_file() for name in SAVED):
        _choose("subset", config.subset, [], path)
        loaded = datasets.load_from_disk(path)
        if isinstance(loaded, datasets.Dataset):
            _choose("split", config.split, [str(loaded.split)] if loaded.split else [], path)
            return loaded
    else:
        subsets = datasets.get_dataset_config_names(path)
        usual = datasets.get_dataset_default_config_name(path)
        subset = _choose("subset", config.subset, subsets, path) or usual or _missing("subset", subsets, path)
        loaded = datasets.load_dataset(path, subset, streaming=True)
    splits = list(loaded)
    usual = splits[0] if len(splits) == 1 else USUAL_SPLIT if USUAL_SPLIT in splits else None
    return loaded[_choose("split", config.split, splits, path) or usual or _missing("split", splits, path)]


def _choose(key: str, name: str | None, names: list[str], path: str) -> str | None:
    if name is not None and name not in names:
        problem = f"the dataset has no such {key}{nearest(name, names)}"
        raise ConfigError(path, [Mistake(f"source.{key}", name, problem)])
    return name


def _missing(key: str, names: list[str], path: str) -> str:
    raise ConfigError(path, [Mistake(f"source.{key}", "", f"missing: the dataset has {', '.join(names)}")])


def _sample(row: Mapping[str, Any], folder: str) -> SourceRow:
    try:
        conversations = [*_pointing(row), *_answer(row)]
    except (TypeError, KeyError, ValueError) as error:
        return SourceRow({}, Reject(BAD_ROW, f"points = {str(row.get('points'))[:80]}: {error!r}"))
    caption = {"captions": row["caption"]} if "caption" in row and "captions" not in row else {}
    rest = {name: value for name, value in row.items() if not (name == "caption" and caption)}
    if conversations and "source_conversations" not in row:
        rest["source_conversations"] = conversations
    return canonical(rest | caption, folder)


def _pointing(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the conversation that pixmo-points stands for: where is every ``label``? ``points`` are percentages."""
    label, points = row.get("label"), row.get("points")
    if not isinstance(label, str) or not isinstance(points, list) or re.search(r'["<>]', label):
        return
    places = sorted((float(point["x"]), float(point["y"])) for point in points)
    if any(not 0 <= edge <= 100 for place in places for edge in place):
        raise ValueError("points are percentages, from 0 to 100")
    name = one_line(label)
    yield _conversation("pointing", [f'Point to every place that shows "{name}".', points_text(name, places)])


def _answer(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the conversation of pixmo-ask-model-anything and pixmo-cap-qa."""
    question, answer = row.get("question"), row.get("answer")
    if isinstance(question, str) and isinstance(answer, str):
        marked = TURN.split(question)
        said = [text.strip() for text in (marked[2::2] or marked)]
        turns = [*(said[:-1] if len(said) > 1 and not said[-1] else said), answer.strip()]
        yield _conversation("qa", turns)


def _conversation(kind: str, turns: list[str]) -> dict[str, Any]:
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": content} for number, content in enumerate(turns)
    ]
    return {"kind": kind, "messages": messages, "provenance": "source"}


def _inside(row: SourceRow, folder: str) -> SourceRow:
    """Refuse media that name a file outside of the dataset: a stranger's dataset must not read this machine."""
    for media in ("image", "audio"):
        payload = row.values.get(media)
        if payload and payload["bytes"] is None and payload["path"]:
            path = os.path.normpath(payload["path"])
            if not folder or not Path(path).is_relative_to(folder):
                return replace(row, reject=row.reject or Reject(BAD_ROW, f"{media} = {path} is no file of the dataset"))
    return row
