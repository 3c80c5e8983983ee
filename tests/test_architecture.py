"""The structure every module keeps to: who may import whom, and what must not be loaded early."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.base import Step
from stages.catalogue import STAGES, find

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "schemas": {"schemas"},
    "stages": {"schemas", "stages"},
    "pipeline": {"schemas", "stages", "pipeline"},
}
OURS = {*MAY_IMPORT, "sample", "tests", "bench"}

HEAVY = {
    "torch", "transformers", "tokenizers", "safetensors", "whisper", "cv2", "av", "openai", "datasets", "matplotlib",
    "polars", "ray",
}

MODULES = [file for package in MAY_IMPORT for file in sorted((ROOT / package).rglob("*.py"))]


def name_of(file: Path) -> str:
    """Return a module's dotted name."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def imports(node: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """Yield the packages a module imports when it runs, not those only its types name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test) and not inside_functions:
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield str(child.module).split(".")[0]
        yield from imports(child, inside_functions=inside_functions)


def parsed(file: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_layers(file: Path) -> None:
    """schemas <- stages <- pipeline, never back, wherever in the module the import stands."""
    package = file.relative_to(ROOT).parts[0]
    ours = set(imports(parsed(file), inside_functions=True)) & OURS
    assert ours <= MAY_IMPORT[package]


def test_only_the_ray_modules_know_ray() -> None:
    """Every stage can be stepped through without Ray."""
    users = {name_of(file) for file in MODULES if "ray" in imports(parsed(file), inside_functions=True)}
    assert users
    assert all(name.startswith("pipeline.ray_") for name in users), users


CATALOGUE = {target.split(":")[0] for target in STAGES.values()}

LIGHT = [
    file for file in MODULES
    if (file.relative_to(ROOT).parts[0] in {"schemas", "pipeline"} and not file.name.startswith("ray_"))
    or name_of(file) in CATALOGUE
]


@pytest.mark.parametrize("file", LIGHT, ids=name_of)
def test_heavy_libraries_wait(file: Path) -> None:
    """No stage and no part of the machinery loads a model library when it is imported."""
    assert not set(imports(parsed(file), inside_functions=False)) & HEAVY


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages a fresh interpreter has loaded after running ``code``."""
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_command_line_starts_light() -> None:
    """The command line is there before any heavy library, so that --help is quick."""
    assert not loaded_by("import pipeline.cli") & {*HEAVY, "pyarrow", "pydantic", "yaml", "fsspec"}


def test_catalogue_loads_light() -> None:
    """To look at every stage's settings and columns loads no model library."""
    code = "from stages.catalogue import STAGES, find\nfor name in STAGES: find(name)"
    assert not loaded_by(code) & {*HEAVY, "PIL", "aiohttp"}


@pytest.mark.parametrize("use", STAGES)
def test_catalogue_entry(use: str) -> None:
    """Module, YAML name and class name are the same word, and every reject reason says what it means."""
    step = find(use)
    module = importlib.import_module(step.__module__)
    assert use in module.__name__.split(".")
    assert step.name == use
    assert step.__name__ in module.__all__
    assert step.__name__.lower() == use.replace("_", "")
    assert all(reason.isidentifier() and reason == reason.lower() for reason in step.reasons)
    assert all(meaning.strip() for meaning in step.reasons.values())


def test_unknown_stage_names_the_nearest() -> None:
    """A typing error in a stage's name is answered with the name that was meant."""
    with pytest.raises(ValueError, match=r"unknown stage \(did you mean filter\?\)"):
        find("filtre")


@pytest.mark.parametrize(
    "use", ["json:loads", "nowhere.at.all:Stage", ".relative:Stage", ":", "stages.base:Nothing", "stages.base:Step"]
)
def test_what_is_no_stage_is_refused(use: str) -> None:
    """Your own stage must exist and be a concrete stage."""
    with pytest.raises(ValueError, match="stage"):
        find(use)


def test_nothing_without_a_home() -> None:
    """No module is called after having no better name."""
    names = {file.stem for file in MODULES}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def test_steps_declare_what_they_are() -> None:
    """Every stage of the catalogue has a version and a config class of its own kind."""
    for use in STAGES:
        step: type[Step[object]] = find(use)  # type: ignore[type-arg]
        assert step.version >= 1
        assert step.Config.model_config["extra"] == "forbid"
        assert step.Config.model_config["frozen"]
