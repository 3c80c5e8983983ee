"""Before any test: nothing reaches out, and no library takes more than one thread of a small shared machine."""

from __future__ import annotations

import os

import pytest

OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0", "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1",
}
for name, value in OFFLINE.items():
    os.environ.setdefault(name, value)

RAY = {"tests/integration", "tests/pipeline/test_ray_runner.py", "tests/stages/connector/test_workers.py"}
"""Where whole runs are: each takes every core."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several test processes (``make test``) one makes all whole runs; a file's tests stay together."""
    for item in items:
        place = item.path.relative_to(item.config.rootpath)
        group = "whole runs" if RAY & {str(place), str(place.parent)} else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
