"""Before any test: nothing reaches out, and no library takes more than one thread of a small shared machine."""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0", "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1",
}
for name, value in OFFLINE.items():
    os.environ.setdefault(name, value)

WHOLE_RUNS = (
    "tests/integration/test_demo.py", "tests/pipeline/test_ray_runner.py", "tests/stages/connector/test_workers.py",
)
"""Files whose tests take every core."""


class OneWholeRunAtATime(LoadScopeScheduling):
    """Of several test processes (``make test``) one makes the whole runs; a file's tests stay together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "whole runs" if file in WHOLE_RUNS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Have pytest-xdist ask the class above; its own groups do not work with pytest 9."""
    return OneWholeRunAtATime(config, log)
