"""From a YAML file to a checked ``RunConfig``: every mistake in it is found, none starts anything."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from schemas.config import RunConfig, StageConfig
from schemas.errors import ConfigError, Mistake, nearest
from stages.catalogue import find, plain_name

__all__ = ["LoadedConfig", "check_config", "load_config", "redact"]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SECRET = re.compile(r"api_?key|token$|secret|password", re.IGNORECASE)
REDACTED = "[redacted]"


@dataclass(frozen=True)
class LoadedConfig:
    """A checked config and where it came from.

    Attributes:
        config: the settings.
        raw: the YAML as written, ``--set`` applied, ``${NAME}`` not replaced.
        file: absolute path of the config file.
    """

    config: RunConfig
    raw: dict[str, Any]
    file: str


def load_config(file: str, settings: Sequence[str] = (), run_dir: str | None = None) -> LoadedConfig:
    """Read a config file.

    Args:
        file: path of the YAML file.
        settings: ``KEY=VALUE`` changes; a key is a dotted path whose first word may be a stage's name
            (``filter.keep=width > 64``).
        run_dir: replaces the file's ``run_dir``; relative to the working directory.

    Raises:
        ConfigError: with every mistake found.
    """
    raw = _read_yaml(file)
    for setting in settings:
        _apply(raw, setting)
    if run_dir is not None:
        raw["run_dir"] = run_dir if "://" in run_dir else str(Path(run_dir).resolve())
    return check_config(raw, file)


def check_config(raw: dict[str, Any], file: str) -> LoadedConfig:
    """Check a config that has been read already; ``file`` is where it came from.

    Raises:
        ConfigError: with every mistake found.
    """
    return LoadedConfig(_check(raw, file), raw, str(Path(file).resolve()))


def redact(value: Any, key: str = "") -> Any:
    """Return the config without secrets: values of keys such as ``api_key``, unless they only name a variable."""
    if isinstance(value, dict):
        return {name: redact(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [redact(inner) for inner in value]
    is_secret = isinstance(value, str) and SECRET.search(key) and not VARIABLE.fullmatch(value)
    return REDACTED if is_secret else value


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, which YAML would let win in silence."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    for index, key in enumerate(keys):
        if any(key.value == earlier.value for earlier in keys[:index]):
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read_yaml(file: str) -> dict[str, Any]:
    try:
        text = Path(file).read_text(encoding="utf-8")
        data = yaml.load(text, _Loader)
    except OSError as error:
        raise ConfigError(file, [Mistake("file", "", error.strerror or str(error))]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or no date, as 2024-02-30
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "file"
        raise ConfigError(file, [Mistake(where, "", getattr(error, "problem", None) or str(error))]) from error
    if not isinstance(data, dict):
        raise ConfigError(file, [Mistake("file", "", "must be a mapping with name, run_dir, source, stages")])
    return data


def _apply(raw: dict[str, Any], setting: str) -> None:
    """Change ``raw`` by one KEY=VALUE."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError("--set", [Mistake(setting, "", "must be KEY=VALUE")])
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError("--set", [Mistake(key, text, f"is not YAML: {error}")]) from error
    path = key.split(".")
    stages = raw.get("stages")
    if isinstance(stages, list):
        names = [stage.get("name") or plain_name(str(stage.get("use"))) for stage in stages if isinstance(stage, dict)]
        if path[0] in names:
            path = ["stages", str(names.index(path[0])), *path[1:]]
    holder: Any = raw
    for step in path[:-1]:
        holder = _step_into(holder, step, key)
    if isinstance(holder, list):
        holder[_index(holder, path[-1], key)] = value
    else:
        holder[path[-1]] = value


def _step_into(holder: Any, step: str, key: str) -> Any:
    inner = holder[_index(holder, step, key)] if isinstance(holder, list) else holder.setdefault(step, {})
    if not isinstance(inner, dict | list):
        raise ConfigError("--set", [Mistake(key, repr(inner), f"{step} is a value, not a section")])
    return inner


def _index(holder: list[Any], step: str, key: str) -> int:
    if not step.isdecimal() or int(step) >= len(holder):
        raise ConfigError("--set", [Mistake(key, "", f"{step!r} is not one of the {len(holder)} list items")])
    return int(step)


def _check(raw: dict[str, Any], file: str) -> RunConfig:
    """Validate the whole config, stages with their own classes, and collect every mistake."""
    unset: list[Mistake] = []
    mistakes: list[Mistake] = []
    data = _substitute(raw, "", unset)
    context = {"folder": str(Path(file).resolve().parent)}
    stages = data.get("stages")
    if isinstance(stages, list):
        data["stages"] = [_check_stage(stage, index, context, mistakes) for index, stage in enumerate(stages)]
    config: RunConfig | None = None
    try:
        config = RunConfig.model_validate(data, context=context)
    except ValidationError as error:
        mistakes[:0] = _mistakes(error, RunConfig, "", data)
    if config is None or mistakes or unset:
        raise ConfigError(file, _first_of_each_key([*unset, *mistakes]))
    return config


def _first_of_each_key(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Return one mistake a key: an unset variable is also no number, and what is no string is no integer either."""
    first: dict[str, Mistake] = {}
    for mistake in mistakes:
        first.setdefault(mistake.key, mistake)
    return list(first.values())


def _check_stage(stage: Any, index: int, context: dict[str, str], mistakes: list[Mistake]) -> Any:
    """Return the stage's own config; on a mistake, record it and return a placeholder that is valid."""
    key = f"stages[{index}]"
    use = stage.get("use") if isinstance(stage, dict) else None
    if not isinstance(use, str):
        mistakes.append(Mistake(key, _shown(stage), "must be a mapping with `use: STAGE`"))
        return StageConfig(use="unknown")
    data = {**stage, "name": stage.get("name") or ""}
    try:
        return find(use).Config.model_validate(data, context=context)
    except ValidationError as error:
        mistakes.extend(_mistakes(error, find(use).Config, key, data))
    except ValueError as error:
        mistakes.append(Mistake(f"{key}.use", use, str(error)))
    return StageConfig(use="unknown")


def _substitute(value: Any, key: str, mistakes: list[Mistake]) -> Any:
    """Return ``value`` with every ``${NAME}`` replaced by the environment variable."""
    if isinstance(value, dict):
        return {name: _substitute(inner, f"{key}.{name}".lstrip("."), mistakes) for name, inner in value.items()}
    if isinstance(value, list):
        return [_substitute(inner, f"{key}[{index}]", mistakes) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    if value == REDACTED:
        mistakes.append(Mistake(key, value, "a run keeps no secrets: let the config name a variable, ${NAME}"))
    if missing := [name for name in VARIABLE.findall(value) if name not in os.environ]:
        mistakes.append(Mistake(key, value, f"the environment variable {', '.join(missing)} is not set"))
    return VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), value)


def _mistakes(error: ValidationError, model: type[BaseModel], prefix: str, data: Any) -> Iterator[Mistake]:
    for found in error.errors():
        key = _key(prefix, found["loc"], data)
        problem = found["msg"].removeprefix("Value error, ")
        value = _shown(found["input"])
        if found["type"] == "extra_forbidden":
            problem = "unknown key" + nearest(str(found["loc"][-1]), _fields(model, found["loc"][:-1]))
        if found["type"] == "missing":
            problem, value = "missing", ""
        yield Mistake(key, value, problem)


def _key(prefix: str, location: Sequence[int | str], data: Any) -> str:
    """Return the dotted path of a location; its steps that are no key of the data name members of a union."""
    key = prefix
    for step in location:
        if isinstance(data, list) and isinstance(step, int):
            key += f"[{step}]"
            data = data[step] if step < len(data) else None
        elif isinstance(data, dict) and (step in data or step == location[-1]):
            key += f".{step}"
            data = data.get(step)
    return key.lstrip(".")


def _fields(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the valid keys at a location inside a model."""
    for step in location:
        field = model.model_fields.get(str(step))
        types = (field.annotation, *get_args(field.annotation)) if field else ()
        inner = [type_ for type_ in types if isinstance(type_, type) and issubclass(type_, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
