"""Bounds that others have published, as YAML files; ``quality`` takes them by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from schemas.errors import nearest

__all__ = ["read_preset"]


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset; raises ValueError where there is none of that name."""
    files = {file.stem: file for file in Path(__file__).parent.glob("*.yaml")}
    if name not in files:
        raise ValueError(f"preset: there is no {name}{nearest(name, files)}")
    return dict(yaml.safe_load(files[name].read_text(encoding="utf-8")))
