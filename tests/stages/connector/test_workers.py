from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_world import config, rows_about, save_dataset

from stages.connector.train import train_worker

RECIPE = {"epochs": 4, "learning_rate": 1e-2, "batch": 6}
PICTURES = (("a", "red", 1), ("b", "blue", 2), ("c", "green", 3), ("d", "white", 4), ("e", "red", 2))


def work(rank: int, workers: int, meeting: str, settings: dict[str, Any]) -> None:
    """Join the process group, as a worker of Ray Train does before it calls ``train_worker``."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    train_worker(settings)
    torch.distributed.destroy_process_group()


def losses(folder: Path) -> dict[str, float]:
    loss = json.loads((folder / "report.json").read_text())["validation"]["loss"]
    return {name: estimate["value"] for name, estimate in loss["mean"].items()}


def test_two_workers_train_the_model_one_would(vision: str, language: str, tmp_path: Path) -> None:
    """Two workers that share each batch arrive where one alone does, but for rounding; the first one writes."""
    rows = {sample: rows_about(sample, colour, dots) for sample, colour, dots in PICTURES}
    folder = save_dataset(tmp_path / "data", train=rows["a"] + rows["b"] + rows["c"], validation=rows["d"] + rows["e"])
    made = config(vision, language, align=RECIPE, instruct=RECIPE, baselines=False, device="cpu", forward_rows=2)
    settings = {"config": made, "seed": 0, "name": "tiny", "dataset": folder, "tell": print}
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    for folder in (alone, shared):
        folder.mkdir()
    train_worker({**settings, "into": str(alone)})
    meeting = str(tmp_path / "meeting")
    torch.multiprocessing.spawn(work, (2, meeting, {**settings, "into": str(shared)}), nprocs=2)
    assert losses(shared) == pytest.approx(losses(alone), abs=1e-3)
    assert json.loads((shared / "report.json").read_text())["place"]["workers"] == 2
