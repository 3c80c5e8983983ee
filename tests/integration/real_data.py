"""Where the real photographs, speech and contexts are, for tests only; they are no part of the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

needs_real_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data (real input) is not here")


def records(name: str) -> list[dict[str, Any]]:
    """Return the records of one of its JSON lines files."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
