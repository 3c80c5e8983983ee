"""The card's metadata, by which the hub finds, shows and loads the dataset."""

from __future__ import annotations

import re
from typing import Any

import yaml

from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.files import FileFormat, shard_pattern
from stages.dataset.rows import features

__all__ = ["front_matter", "hub_license"]

HUB_LICENSES = {
    "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odc-by", "odbl", "pddl", "gfdl", "mit", "apache-2.0",
}
"""Licences of pictures and texts that the hub has a name for: https://huggingface.co/docs/hub/repositories-licenses."""
SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
         (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")]
LANGUAGE_SHARE = 0.01
"""Share of the conversations from which on a language is the dataset's."""


def front_matter(run: RunView, census: Census, format_: FileFormat) -> str:
    """Return the YAML at the card's top.

    Args:
        run: the run the dataset comes from.
        census: counts of the dataset.
        format_: of its shards.
    """
    sees = census.pictured > 0
    data: dict[str, Any] = {
        "pretty_name": run.name,
        "license": hub_license(census) or "other",
        "language": _languages(census),
        "task_categories": ["image-text-to-text", "visual-question-answering"] if sees else ["question-answering"],
        "size_categories": [next((name for limit, name in SIZES if census.rows.total() < limit), "1B<n<10B")],
        "tags": ["showtell", *(["multimodal"] if sees else []), "instruction-tuning"],
        "configs": [{"config_name": "default", "data_files": _data_files(census, format_)}],
        "dataset_info": {"features": features()._to_yaml_list()},
    }
    return f"---\n{yaml.safe_dump({key: value for key, value in data.items() if value}, sort_keys=False)}---\n"


def hub_license(census: Census) -> str:
    """Return the one licence of every sample as the hub calls it; empty where there is none such."""
    licenses = {name.lower() for name in census.licenses}
    one = next(iter(licenses)) if len(licenses) == 1 and not census.licenses.error else ""
    return one if one in HUB_LICENSES else ""


def _languages(census: Census) -> list[str]:
    least = LANGUAGE_SHARE * census.rows.total()
    return [name for name, count in census.languages.most_common() if re.fullmatch("[a-z]{2}", name) and count >= least]


def _data_files(census: Census, format_: FileFormat) -> list[dict[str, str]]:
    """Return the pattern of each split's shards; a split without rows is left out, as the hub cannot show it."""
    return [{"split": split, "path": shard_pattern(format_, split)} for split, rows in census.rows.items() if rows]
