"""Settings: paths that must exist, references to models, numbers in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.config import Frozen, LocalOrUrl, ModelRef, SourceConfig, StageConfig


class Settings(Frozen):
    """One of each kind of path."""

    model: ModelRef = "x"
    place: LocalOrUrl = "x"


def source(folder: Path, path: Any, **more: Any) -> SourceConfig:
    """Return a source named in a config in ``folder``."""
    data = {"kind": "table", "path": path, **more}
    return SourceConfig.model_validate(data, context={"folder": str(folder)})


def model(folder: Path, name: str) -> str:
    """Return what a model named in a config in ``folder`` is."""
    return Settings.model_validate({"model": name}, context={"folder": str(folder)}).model


def test_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    """A file, several files and a glob are found beside the config, not in the working directory."""
    (tmp_path / "data").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "data" / name).touch()
    assert source(tmp_path, "data/a.csv").path == [str(tmp_path / "data/a.csv")]
    assert source(tmp_path, ["data/b.csv", "data/a.csv"]).path == [f"{tmp_path}/data/b.csv", f"{tmp_path}/data/a.csv"]
    assert source(tmp_path, "data/*.csv").path == [f"{tmp_path}/data/*.csv"]
    assert source(tmp_path, "**/b.csv").path == [f"{tmp_path}/**/b.csv"]


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    """A file that is called like a pattern is found under its name."""
    folder = tmp_path / "run [1]"
    folder.mkdir()
    (folder / "a.csv").touch()
    assert source(folder, "a.csv").path == [str(folder / "a.csv")]


@pytest.mark.parametrize("path", ["a.csv", "*.tsv", "data/**/*.csv", ["there.csv", "a.csv"]])
def test_a_path_must_match_something(tmp_path: Path, path: Any) -> None:
    """A file that is not there, or a pattern that matches nothing, is a mistake."""
    (tmp_path / "there.csv").touch()
    with pytest.raises(ValidationError, match="no such file or folder"):
        source(tmp_path, path)


@pytest.mark.parametrize("name", ["t.xlsx", "t.csv.gz", "t"])
def test_a_table_has_an_extension_of_one(tmp_path: Path, name: str) -> None:
    """A file that no reader takes is a mistake, named alone or found by a pattern."""
    (tmp_path / name).touch()
    for path in (name, "t*"):
        with pytest.raises(ValidationError, match=rf"{name} has no extension of a table \(valid: arrow, csv, "):
            source(tmp_path, path)
    assert source(tmp_path, name, kind="coco").path == [str(tmp_path / name)]


def test_a_source_is_local(tmp_path: Path) -> None:
    """A URL as a source is refused at once, not when it is opened."""
    with pytest.raises(ValidationError, match="not a URL"):
        source(tmp_path, "s3://bucket/pairs.csv")


def test_columns_are_ours(tmp_path: Path) -> None:
    """A typing error on our side of the renaming is found, not taken for an extra column."""
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValidationError, match=r"caption is no source column \(did you mean captions\?\)"):
        source(tmp_path, "a.csv", columns={"caption": "TEXT"})


def test_settings_of_another_kind_of_source_are_refused(tmp_path: Path) -> None:
    """A setting that would do nothing is a mistake."""
    (tmp_path / "a.json").touch()
    with pytest.raises(ValidationError, match="only for coco and llava"):
        source(tmp_path, "a.json", images=".")
    with pytest.raises(ValidationError, match="only table and huggingface have columns"):
        source(tmp_path, "a.json", kind="coco", columns={"captions": "TEXT"})


def test_model_is_a_path_where_there_is_one(tmp_path: Path) -> None:
    """A folder beside the config is that folder; otherwise a hub id or a library's name stays as it is."""
    (tmp_path / "models" / "clip").mkdir(parents=True)
    assert model(tmp_path, "models/clip") == str(tmp_path / "models" / "clip")
    assert model(tmp_path, "openai/clip-vit-base-patch32") == "openai/clip-vit-base-patch32"
    assert model(tmp_path, "small") == "small"


@pytest.mark.parametrize("name", ["models/clop", "./clip", "/nowhere/clip", "a/b/c", "whisper.pt", "~/clip"])
def test_model_that_looks_local_must_exist(tmp_path: Path, name: str) -> None:
    """What can only be a path, or lies in a folder that is there, is not taken for a hub id."""
    (tmp_path / "models").mkdir()
    with pytest.raises(ValidationError, match="no such file or folder"):
        model(tmp_path, name)


@pytest.mark.parametrize("actors", [[0, 1], [2, 1], [-1, -1]])
def test_actors_in_order(actors: list[int]) -> None:
    """At least one actor, and never fewer at most than at least."""
    with pytest.raises(ValidationError, match="1 <= min <= max"):
        StageConfig.model_validate({"use": "x", "actors": actors})


def test_run_directory_needs_a_known_file_system() -> None:
    """A mistyped URL scheme is found before anything runs."""
    with pytest.raises(ValidationError, match="not known"):
        Settings(place="s33://bucket/run")


def test_immutable() -> None:
    """A config cannot change under a run."""
    with pytest.raises(ValidationError, match="frozen"):
        StageConfig(use="x").use = "y"  # type: ignore[misc]
