"""bespokelabs-curator for ``bench.chat``; runs where bespokelabs-curator is installed.

    python chat_curator.py PROMPTS_JSON CONCURRENCY

Asks the server of OPENAI_BASE_URL all prompts, each a list of messages, and prints one line of JSON: the texts kept and
the wall and CPU seconds that took, without imports. Its cache is the folder CURATOR_CACHE_DIR.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import litellm.litellm_core_utils.default_encoding  # noqa: F401 - has tiktoken read litellm's copy, not the network
from bespokelabs import curator
from pydantic import BaseModel, ConfigDict

NO_LIMIT = 10**10


class Description(BaseModel):
    """The reply that is asked for."""

    model_config = ConfigDict(extra="forbid")
    description: str


def main() -> None:
    """Ask, and print what came of it."""
    prompts, concurrency = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2])
    # A model that curator knows to take a schema: of any other it asks the server first, by a sample it checks.
    llm = curator.LLM(
        "gpt-4o-mini",
        response_format=Description,
        backend="openai",
        generation_params={"temperature": 0, "max_tokens": 1024},
        backend_params={
            "max_concurrent_requests": concurrency, "max_requests_per_minute": NO_LIMIT,
            "max_tokens_per_minute": NO_LIMIT, "require_all_responses": False,
        },
    )
    started, cpu = time.perf_counter(), time.process_time()
    rows = llm(prompts).dataset.to_list()
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"kept": [json.dumps(row) for row in rows], "wall_s": wall_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
