"""Data-Juicer's ``image_text_similarity_filter`` for ``bench.clip``; runs where py-data-juicer is installed.

    python clip_data_juicer.py MODEL_FOLDER SAMPLES_JSON

Says ``ready`` when it has scored a sample, and then, for each line it reads, scores all samples and says how many CPU
seconds that took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from data_juicer.ops.filter.image_text_similarity_filter import ImageTextSimilarityFilter
from data_juicer.utils.constant import Fields
from data_juicer.utils.mm_utils import SpecialTokens


def main() -> None:
    """Score whenever asked."""
    model, samples = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    torch.set_num_threads(1)
    scorer = ImageTextSimilarityFilter(hf_clip=model)

    def work(chosen: list[tuple[str, str]]) -> None:
        with torch.inference_mode():
            for path, caption in chosen:
                text = f"{SpecialTokens.image} {caption} {SpecialTokens.eoc}"
                scorer.compute_stats_single({"text": text, "images": [path], Fields.stats: {}})

    work(samples[:1])
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.process_time()
        work(samples)
        print(f"cpu_s {time.process_time() - started}", flush=True)


if __name__ == "__main__":
    main()
