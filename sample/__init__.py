"""The sample world: a small, seeded, drawn and spoken world that stands in for the web, offline.

Seeds are shared out once, here, so that nobody trains on what the demo shows or what a test measures:

- 0 to 4,999: scenes of the demo world (`sample/world`);
- 5,000 to 9,999: held out, to measure the starter models;
- 10,000 and above: to train the starter models.
"""

from pathlib import Path

__all__ = ["DEMO_SEEDS", "HELD_OUT_SEEDS", "HERE", "PORT", "TRAINING_SEED_START"]

HERE = Path(__file__).parent
PORT = 8411  # of the demo world's server; the image URLs in pairs.jsonl carry it

DEMO_SEEDS = range(5_000)
HELD_OUT_SEEDS = range(5_000, 10_000)
TRAINING_SEED_START = 10_000
