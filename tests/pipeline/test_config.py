"""Every mistake in a config is one line with file, key, value and what would be right; none is a traceback."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import LoadedConfig, check_config, load_config
from pipeline.plan import make_plan
from schemas.errors import ConfigError
from tests.pipeline.runs import PROBES, run_inline, write_config, write_source

LENGTH = {"use": f"{PROBES}Length"}
CHAT = {"engine": "openai", "model": "some-model"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a source of two samples, and a file that is no table."""
    write_source(tmp_path, ["a", "bb"])
    (tmp_path / "rows.xyz").touch()
    return tmp_path


def mistakes(config: Path, *settings: str) -> list[str]:
    """Return the lines a user reads, without the file they all begin with."""
    with pytest.raises(ConfigError) as raised:
        make_plan(load_config(str(config), settings))
    lines = str(raised.value).splitlines()
    assert len(lines) == len(raised.value.mistakes), "one line a mistake"
    return [line.removeprefix(f"{config}: ") for line in lines]


def configured(folder: Path, stages: Sequence[Mapping[str, Any]] = (LENGTH,), **more: Any) -> Path:
    """Write a config; ``source`` adds to the usual source."""
    more["source"] = {"kind": "table", "path": "pairs.jsonl"} | more.pop("source", {})
    return write_config(folder, stages, **more)


def written(folder: Path, text: str) -> Path:
    """Write a config file as it stands."""
    file = folder / "config.yaml"
    file.write_text(text)
    return file


WRONG_STAGES = {
    "unknown stage": ([{"use": "clip_scor"}], "stages[0].use = clip_scor: unknown stage (did you mean clip_score?)"),
    "no stage": ([{"name": "x"}], "stages[0] = {'name': 'x'}: must be a mapping with `use: STAGE`"),
    "only a word": (["filter"], "stages[0] = 'filter': must be a mapping with `use: STAGE`"),
    "own stage": (
        [{"use": "tests.pipeline.probes:Lenght"}],
        "stages[0].use = tests.pipeline.probes:Lenght: cannot import this stage: AttributeError: "
        "module 'tests.pipeline.probes' has no attribute 'Lenght'",
    ),
    "unknown key": ([{**LENGTH, "scael": 2}], "stages[0].scael = 2: unknown key (did you mean scale?)"),
    "a key with a dash": (
        [{**LENGTH, "batch-rows": 2}], "stages[0].batch-rows = 2: unknown key (did you mean batch_rows?)",
    ),
    "nested key": (
        [{"use": "converse", "chat": {**CHAT, "concurency": 2}}],
        "stages[0].chat.concurency = 2: unknown key (did you mean concurrency?)",
    ),
    "nested optional key": (
        [{"use": "filter", "keep_top": {"column": "id", "fraction": 0.5, "colum": 1}}],
        "stages[0].keep_top.colum = 1: unknown key (did you mean column?)",
    ),
    "missing key": ([{"use": "converse"}], "stages[0].chat: missing"),
    "missing nested key": (
        [{"use": "filter", "keep_top": {"column": "id"}}], "stages[0].keep_top.fraction: missing",
    ),
    "type": (
        [{**LENGTH, "scale": "big"}],
        "stages[0].scale = 'big': Input should be a valid integer, unable to parse string as an integer",
    ),
    "range": ([{**LENGTH, "cpus": -1}], "stages[0].cpus = -1: Input should be greater than or equal to 0"),
    "half a pair": ([{**LENGTH, "actors": [1]}], "stages[0].actors[1]: missing"),
    "model": (
        [{"use": "clip_score", "model": "./nowhere"}],
        "stages[0].model = './nowhere': no such file or folder: {folder}/nowhere",
    ),
    "prompt file": (
        [{"use": "converse", "chat": CHAT, "prompts": {"detail": "my/prompt.txt"}}],
        "stages[0].prompts.detail = 'my/prompt.txt': no such file or folder: {folder}/my/prompt.txt",
    ),
    "prompt that is a folder": (
        [{"use": "converse", "chat": CHAT, "prompts": {"detail": "."}}],
        "stages[0].prompts.detail = '.': cannot be read: Is a directory: {folder}",
    ),
    "prompt of no kind": (
        [{"use": "converse", "chat": CHAT, "prompts": {"detial": "pairs.jsonl"}}],
        "stages[0].prompts.detial = 'detial': Input should be 'conversation', 'detail', 'reasoning' or 'caption'",
    ),
    "prompt of a kind that is not written": (
        [{"use": "caption", "chat": CHAT, "prompts": {"detail": "pairs.jsonl"}}],
        "stages[0] = {'use': 'caption', 'chat': {'engine': 'openai', 'model': ...: "
        "prompts.detail: no detail is written; kinds: caption",
    ),
    "column": (
        [LENGTH, {"use": "filter", "keep": "lenght > 1"}],
        "stages[1].keep = lenght > 1: reads lenght, which nothing before it produces (did you mean length?)",
    ),
    "column of a later stage": (
        [{"use": "filter", "keep": "clip_score > 0.2 and clip_score < 0.9"}],
        "stages[0].keep = clip_score > 0.2 and clip_score < 0.9: reads clip_score, which nothing before it produces "
        "(put `use: clip_score` before it)",
    ),
    "column of a stage with a name": (
        [{**LENGTH, "name": "big"}, {"use": "filter", "keep_top": {"column": "length", "fraction": 0.5}}],
        "stages[1].keep_top = column='length' fraction=0.5: reads length, which nothing before it produces "
        '(did you mean "big.length"?)',
    ),
    "expression": (
        [{"use": "filter", "keep": "length >"}],
        "stages[0].keep = 'length >': not an expression: unable to parse 'length >' as Expr",
    ),
    "no rule": (
        [{"use": "filter"}], "stages[0] = {'use': 'filter', 'name': ''}: give exactly one of keep and keep_top",
    ),
    "twice": (
        [LENGTH, LENGTH], f"stages[1] = {PROBES}Length: length is used twice: give the second a `name:`",
    ),
    "name": (
        [{**LENGTH, "name": "My Stage"}],
        "stages[0].name = 'My Stage': String should match pattern '^[a-z][a-z0-9_]*$|^$'",
    ),
    "name of the source": ([{**LENGTH, "name": "source"}], "stages[0].name = source: the source is called that"),
    "after a sink": (
        [LENGTH, {"use": f"{PROBES}Talk"}, {"use": "shards"}, {"use": f"{PROBES}Width"}],
        f"stages[3] = {PROBES}Width: must stand before shards",
    ),
    "two datasets": (
        [LENGTH, {"use": f"{PROBES}Talk"}, {"use": "shards"}, {"use": "shards", "name": "again"}],
        "stages[3] = shards: must stand before shards",
    ),
    "split": (
        [{"use": "shards", "splits": {"../up": 0.1}}],
        "stages[0].splits.../up = '../up': String should match pattern '^\\w+$'",
    ),
    "shares": (
        [{"use": "shards", "splits": {"a": 0.5, "b": 0.5}}],
        "stages[0].splits = {'a': 0.5, 'b': 0.5}: the shares add up to 1: nothing is left for train",
    ),
}


@pytest.mark.parametrize(("stages", "line"), WRONG_STAGES.values(), ids=WRONG_STAGES)
def test_mistake_in_a_stage(folder: Path, stages: list[dict[str, Any]], line: str) -> None:
    """What is wrong with a stage is one line naming key, value and, where there is one, the nearest valid name."""
    assert mistakes(configured(folder, stages)) == [line.replace("{folder}", str(folder))]


WRONG_ELSEWHERE = {
    "unknown key": ({"run_dri": "x"}, "run_dri = 'x': unknown key (did you mean run_dir?)"),
    "unknown source key": (
        {"source": {"part_row": 4}}, "source.part_row = 4: unknown key (did you mean part_rows?)",
    ),
    "unknown ray key": ({"ray": {"adress": "auto"}}, "ray.adress = 'auto': unknown key (did you mean address?)"),
    "missing file": (
        {"source": {"path": "paris.jsonl"}},
        "source.path = 'paris.jsonl': no such file or folder: {folder}/paris.jsonl",
    ),
    "one missing file of several": (
        {"source": {"path": ["pairs.jsonl", "more.jsonl"]}},
        "source.path[1] = 'more.jsonl': no such file or folder: {folder}/more.jsonl",
    ),
    "unknown extension": (
        {"source": {"path": "rows.xyz"}},
        "source.path = 'rows.xyz': rows.xyz has no extension of a table (valid: arrow, csv, json, jsonl, parquet, tsv)",
    ),
    "kind": (
        {"source": {"kind": "csv"}},
        "source.kind = 'csv': Input should be 'table', 'coco', 'llava', 'webdataset' or 'huggingface'",
    ),
    "two types": (
        {"source": {"columns": {"captions": 1.5}}}, "source.columns.captions = 1.5: Input should be a valid string",
    ),
    "zero": ({"source": {"part_rows": 0}}, "source.part_rows = 0: Input should be greater than or equal to 1"),
    "name": ({"name": "a b"}, "name = 'a b': String should match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]*$'"),
    "seed": (
        {"seed": "zero"}, "seed = 'zero': Input should be a valid integer, unable to parse string as an integer",
    ),
    "no stages": (
        {"stages": []}, "stages = []: List should have at least 1 item after validation, not 0",
    ),
    "scheme": ({"run_dir": "s33://bucket/run"}, "run_dir = 's33://bucket/run': Protocol not known: s33"),
}


@pytest.mark.parametrize(("change", "line"), WRONG_ELSEWHERE.values(), ids=WRONG_ELSEWHERE)
def test_mistake_outside_the_stages(folder: Path, change: dict[str, Any], line: str) -> None:
    """The same for the run, its source and Ray."""
    assert mistakes(configured(folder, **change)) == [line.replace("{folder}", str(folder))]


WRONG_YAML = {
    "broken": ("name: test\nstages: [\n  {use: filter\n", "line 4: expected ',' or '}', but got '<stream end>'"),
    "tab": ("name: test\nsource:\n\tkind: table\n", "line 3: found character '\\t' that cannot start any token"),
    "key twice": ("name: a\nseed: 1\nname: b\n", "line 3: the key name stands twice"),
    "nested key twice": ("source:\n  kind: table\n  kind: coco\n", "line 3: the key kind stands twice"),
    "list as a key": ("? [a, b]\n: 1\n", "line 1: found unhashable key"),
    "no such date": ("name: 2024-02-30\n", "file: day is out of range for month"),
    "control character": (
        "name: a\x00b\n",
        'file: unacceptable character #x0000: special characters are not allowed in "<unicode string>", position 7',
    ),
    "list": ("- name: a\n", "file: must be a mapping with name, run_dir, source, stages"),
    "empty": ("", "file: must be a mapping with name, run_dir, source, stages"),
    "stages as a mapping": (
        "name: a\nrun_dir: run\nsource: {kind: coco, path: config.yaml}\nstages: {use: filter}\n",
        "stages = {'use': 'filter'}: Input should be a valid list",
    ),
    "python object": (
        "name: !!python/object/apply:os.system [ls]\n",
        "line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
}


@pytest.mark.parametrize(("text", "line"), WRONG_YAML.values(), ids=WRONG_YAML)
def test_broken_yaml(tmp_path: Path, text: str, line: str) -> None:
    """What is no config at all is told with its line."""
    assert mistakes(written(tmp_path, text)) == [line]


def test_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is told as such."""
    file = tmp_path / "config.yaml"
    file.write_bytes(b"name: caf\xe9\n")
    (line,) = mistakes(file)
    assert line.startswith("file: 'utf-8' codec can't decode byte 0xe9")


def test_no_such_config(tmp_path: Path) -> None:
    """A config that is not there, or is a folder, is one line."""
    assert mistakes(tmp_path / "nowhere.yaml") == ["file: No such file or directory"]
    assert mistakes(tmp_path) == ["file: Is a directory"]


def test_all_mistakes_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at the output is enough to mend a file."""
    monkeypatch.delenv("NOWHERE", raising=False)
    config = configured(
        folder,
        [{"use": "filtr"}, {**LENGTH, "scale": "${NOWHERE}"}, {"use": "filter", "keep": "a >", "keeep": 1}],
        seed="x", source={"part_rows": -1, "limit": "${NOWHERE}"}, runs=1,
    )
    assert [line.split(" = ")[0] for line in mistakes(config)] == [
        "source.limit", "stages[1].scale", "seed", "source.part_rows", "runs", "stages[0].use", "stages[2].keep",
        "stages[2].keeep",
    ]


def test_all_missing_columns_at_once(folder: Path) -> None:
    """So are columns nobody makes, over all stages."""
    stages = [{"use": "filter", "keep": "one > 1 and two > 1"}, {"use": f"{PROBES}AboveAverage"}]
    assert [line.split(",")[0].split("reads ")[1] for line in mistakes(configured(folder, stages))] == [
        "one", "two", "length",
    ]


def test_column_of_a_wrong_type(folder: Path) -> None:
    """A column that is there under the right name but with other values is named with both types."""
    stages = [{"use": f"{PROBES}Length"}, {"use": f"{PROBES}WrongTalk"}]
    assert mistakes(configured(folder, stages)) == [
        f"stages[1] = {PROBES}WrongTalk: reads length as string, but it is int64"
    ]


# --- the environment -------------------------------------------------------------------------------------------------


def test_variables_are_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """${NAME} is the environment variable, also inside a longer text and for a number."""
    monkeypatch.setenv("PLACE", "elsewhere")
    monkeypatch.setenv("TIMES", "3")
    loaded = load_config(str(configured(folder, [{**LENGTH, "scale": "${TIMES}"}], run_dir="runs/${PLACE}/x")))
    assert loaded.config.run_dir == f"{folder}/runs/elsewhere/x"
    assert loaded.config.stages[0].scale == 3  # type: ignore[attr-defined]
    assert loaded.raw["run_dir"] == "runs/${PLACE}/x"


def test_unset_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set is one mistake, whatever type the setting has."""
    monkeypatch.delenv("NOWHERE", raising=False)
    assert mistakes(configured(folder, seed="${NOWHERE}")) == [
        "seed = ${NOWHERE}: the environment variable NOWHERE is not set"
    ]


def test_secrets_stay_out_of_the_run_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key written into the config is redacted in run.json; one that is only named stays named."""
    monkeypatch.setenv("MY_KEY", "sk-from-the-environment")
    keyed = {"use": f"{PROBES}Keyed"}
    stages = [
        {**keyed, "api_key": "sk-inline"}, {**keyed, "name": "second", "api_key": "${MY_KEY}", "hf_token": "hf-inline"},
    ]
    config = configured(folder, stages)
    run_inline(config)
    text = (folder / "run" / "run.json").read_text()
    assert "sk-" not in text
    assert "hf-inline" not in text
    described = json.loads(text)["config"]["stages"]
    assert [stage["api_key"] for stage in described] == ["[redacted]", "${MY_KEY}"]
    with pytest.raises(ConfigError, match=r"api_key = \[redacted\]: a run keeps no secrets"):
        check_config(json.loads(text)["config"], str(config))


# --- changes from the command line -----------------------------------------------------------------------------------


def changed(folder: Path, *settings: str) -> LoadedConfig:
    """Load a config of three stages, changed."""
    stages = [LENGTH, {"use": "filter", "keep": "length > 1"}, {**LENGTH, "name": "again"}]
    return load_config(str(configured(folder, stages)), settings)


def test_set_by_name_and_by_place(folder: Path) -> None:
    """A stage is found by its plain name, its own name or its place; other keys by their path."""
    loaded = changed(
        folder, "filter.keep=length > 5", "again.scale=7", "stages.0.scale=4", "seed=9", "source.part_rows=2",
        "length.actors=[1, 3]", "ray.num_cpus=2",
    )
    stages: list[Any] = list(loaded.config.stages)
    assert stages[1].keep == "length > 5"
    assert (stages[0].scale, stages[2].scale) == (4, 7)
    assert stages[0].actors == (1, 3)
    assert (loaded.config.seed, loaded.config.source.part_rows, loaded.config.ray.num_cpus) == (9, 2, 2)


def test_set_keeps_what_equals_signs_the_value_has(folder: Path) -> None:
    """Only the first equals sign divides key and value."""
    assert changed(folder, "filter.keep=length = 5").config.stages[1].keep == "length = 5"  # type: ignore[attr-defined]


WRONG_SETTINGS = {
    "filter.keep": "--set: filter.keep: must be KEY=VALUE",
    "=3": "--set: =3: must be KEY=VALUE",
    "stages.7.keep=x": "--set: stages.7.keep: '7' is not one of the 3 list items",
    "stages.²=x": "--set: stages.²: '²' is not one of the 3 list items",
    "name.first=x": "--set: name.first = 'test': name is a value, not a section",
    "filter.keep=[": "--set: filter.keep = [: is not YAML",
    "filter.kep=true": "stages[1].kep = True: unknown key (did you mean keep?)",
    "filtre.keep=x": "filtre = {'keep': 'x'}: unknown key",
}


@pytest.mark.parametrize(("setting", "line"), WRONG_SETTINGS.items())
def test_wrong_setting(folder: Path, setting: str, line: str) -> None:
    """A change that cannot be made is one line."""
    with pytest.raises(ConfigError) as raised:
        changed(folder, setting)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_relative_paths_are_relative_to_the_config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command is started does not matter; only --run-dir is relative to that."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    config = configured(folder)
    monkeypatch.chdir(elsewhere)
    loaded = load_config("../config.yaml")
    assert loaded.config.run_dir == str(folder / "run")
    assert loaded.config.source.path == [str(folder / "pairs.jsonl")]
    assert loaded.file == str(config)
    assert load_config(str(config), run_dir="here").config.run_dir == str(elsewhere / "here")


def test_yaml_anchors(folder: Path) -> None:
    """Repetition can be written once, and a merged key changed."""
    stages = f"stages:\n- &first\n  use: {PROBES}Length\n  scale: 2\n- <<: *first\n  name: second\n  scale: 3\n"
    head = yaml.safe_dump({"name": "t", "run_dir": "run", "source": {"kind": "table", "path": "pairs.jsonl"}})
    first, second = load_config(str(written(folder, head + stages))).config.stages
    assert (first.scale, second.scale, second.name) == (2, 3, "second")  # type: ignore[attr-defined]
