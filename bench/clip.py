"""How near ``clip_score`` comes to the model's own speed, on real photographs with a ViT-B/32 of random weights.

The floor is the bare forward pass of both towers on tensors that are ready, in batches of 32: once with all cores on
each and once, on a CPU, with a core for each. Then a plain loop of transformers (processor and model, in batches
of 32), Data-Juicer's ``image_text_similarity_filter`` where a Python that has it is named (a process a core), and ours.
Each photograph has one caption, of 6 to 14 words. All take turns, in rounds.

    python -m bench.clip PHOTOS_FOLDER [--images 128] [--rounds 5] [--device cuda] [--data-juicer PYTHON]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import truediv
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

from stages.clip_score import ClipScore, ClipScoreConfig
from stages.models.clip_passes import start_workers

__all__ = ["main"]

BATCH: Final = 32
START, END = 49406, 49407
Round = Callable[[], float]
"""Scores all photographs once and returns the CPU seconds it took in other processes."""
Samples = list[tuple[Path, str]]
"""Photographs and their captions."""


def save_model(folder: Path) -> None:
    """Write a ViT-B/32 of random weights with a tokenizer of one token a word."""
    words = {f"w{number}": number for number in range(START)}
    tokenizer = Tokenizer(models.WordLevel({**words, "<s>": START, "</s>": END}, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", END)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="</s>"
    )
    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessorPil(), wrapped).save_pretrained(folder)


def caption(draw: random.Random) -> str:
    """Return a caption of as many words as people write."""
    return " ".join(f"w{draw.randrange(START)}" for _ in range(draw.randint(6, 14)))


class Plain:
    """The model as transformers has it, and its processor."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=dtype).to(device).eval()
        self.processor = CLIPProcessor.from_pretrained(folder, backend="pil")

    def inputs(self, samples: Samples) -> Any:
        """Return what the model takes for some samples."""
        images = [Image.open(io.BytesIO(path.read_bytes())).convert("RGB") for path, _ in samples]
        texts = [text for _, text in samples]
        made = self.processor(text=texts, images=images, padding=True, truncation=True, return_tensors="pt")
        return made.to(self.model.device, self.model.dtype)

    @torch.inference_mode()
    def score(self, inputs: Any) -> None:
        """Run both towers and bring the scores to the CPU."""
        self.model(**inputs).logits_per_image.diagonal().cpu()


def plain_rounds(plain: Plain, samples: Samples, cores: int) -> dict[str, Round]:
    """Return the floors and the plain loop."""
    batches = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    ready = [plain.inputs(batch) for batch in batches]
    workers = start_workers(cores)

    def floor() -> float:
        for inputs in ready:
            plain.score(inputs)
        return 0.0

    def floor_a_core_each() -> float:
        list(workers.map(plain.score, ready))
        return 0.0

    def loop() -> float:
        for batch in batches:
            plain.score(plain.inputs(batch))
        return 0.0

    on_cpu = {"floor, a core a batch": floor_a_core_each} if plain.model.device.type == "cpu" else {}
    return {"floor": floor, **on_cpu, "transformers": loop}


def our_round(folder: Path, device: str, samples: Samples, cores: int) -> Round:
    """Return the round of the stage, on two parts at once as in a run."""
    stage = ClipScore(ClipScoreConfig(use="clip_score", model=str(folder), device=device, cpus=cores))
    stage.open()
    half = -(-len(samples) // stage.parts_at_once)
    parts = [samples[start : start + half] for start in range(0, len(samples), half)]
    threads = ThreadPoolExecutor(stage.parts_at_once)

    def table(part: Samples) -> pa.Table:
        rows = [{"id": str(path), "image_bytes": path.read_bytes(), "captions": [text]} for path, text in part]
        return pa.Table.from_pylist(rows, schema=pa.schema([("id", pa.string()), *stage.consumes]))

    def work() -> float:
        for scored in threads.map(stage.process, [table(part) for part in parts]):
            if scored["clip_score"].null_count:
                raise SystemExit("not every photograph was scored")
        return 0.0

    return work


def data_juicer_round(python: Path, folder: Path, samples: Samples, cores: int, scratch: Path) -> Round:
    """Return the round of Data-Juicer, a process a core."""
    children = []
    for number in range(cores):
        share = scratch / f"{number}.json"
        share.write_text(json.dumps([(str(path), text) for path, text in samples[number::cores]]))
        script = Path(__file__).with_name("clip_data_juicer.py")
        children.append(subprocess.Popen(
            [str(python), str(script), str(folder), str(share)], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(scratch / f"{number}.log").open("w"),
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        ))
    for number, child in enumerate(children):
        if answer(child, "ready") is None:
            raise SystemExit(f"Data-Juicer did not start:\n{(scratch / f'{number}.log').read_text()[-2000:]}")

    def work() -> float:
        for child in children:
            print(file=child.stdin, flush=True)
        return sum(float(answer(child, "cpu_s") or "nan") for child in children)

    return work


def answer(child: subprocess.Popen[str], word: str) -> str | None:
    """Return what a child says after the word it is asked for; None if it ends before."""
    for line in child.stdout or ():
        if line.startswith(word):
            return line.removeprefix(word).strip()
    return None


def measure(works: dict[str, Round], images: int, rounds: int) -> None:
    """Let all take turns; print medians of speed and CPU time, and their ratios to the better floor's."""
    speeds: dict[str, list[float]] = {name: [] for name in works}
    costs: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started, cpu = time.perf_counter(), time.process_time()
            others = works[name]()
            speeds[name].append(images / (time.perf_counter() - started))
            costs[name].append(1000 * (time.process_time() - cpu + others) / images)
    floors = [name for name in works if name.startswith("floor")]
    fastest = [max(found) for found in zip(*(speeds[name] for name in floors), strict=True)]
    cheapest = [min(found) for found in zip(*(costs[name] for name in floors), strict=True)]
    for name in works:
        share = statistics.median(map(truediv, speeds[name], fastest))
        of_cpu = statistics.median(map(truediv, cheapest, costs[name]))
        print(f"{name:22s} {statistics.median(speeds[name]):8.1f} images/s, {share:.2f} of the better floor;  "
              f"{statistics.median(costs[name]):7.1f} CPU ms an image, by which it is {of_cpu:.2f} of it")


def main() -> None:
    """Print images/s, shares and CPU time of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=128, help="photographs a round, counted round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--data-juicer", type=Path, metavar="PYTHON", help="a Python with py-data-juicer")
    given = parser.parse_args()
    photos = sorted(given.photos.rglob("*.jpg"))
    if not photos:
        raise SystemExit(f"no .jpg files in {given.photos}")
    draw = random.Random(0)
    samples = [(photos[number % len(photos)], caption(draw)) for number in range(given.images)]
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    with tempfile.TemporaryDirectory() as temporary:
        folder, scratch = Path(temporary, "model"), Path(temporary)
        save_model(folder)
        ours = our_round(folder, given.device, samples, cores)
        dtype = torch.bfloat16 if given.device == "cuda" else torch.float32
        works = {**plain_rounds(Plain(folder, given.device, dtype), samples, cores), "clip_score": ours}
        if given.data_juicer:
            works["Data-Juicer"] = data_juicer_round(given.data_juicer, folder, samples, cores, scratch)
        ours()  # warm up
        measure(works, given.images, given.rounds)


if __name__ == "__main__":
    main()
