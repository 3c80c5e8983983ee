"""Small real stages for tests of the machinery, named in configs as ``tests.pipeline.probes:NAME``."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from datasets import load_from_disk
from PIL import Image

from schemas.columns import CONVERSATIONS
from schemas.config import StageConfig
from schemas.errors import FatalError, Reject
from schemas.storage import Storage
from stages.base import RunView, Sink, Stage, Workers, rows_to_table

CAPTIONS = pa.schema([("captions", pa.list_(pa.string()))])


class LengthConfig(StageConfig):
    """Settings of the probes that measure captions."""

    log: str = ""
    """A file that gets a line for every row that is processed."""
    sleep_s: float = 0
    """How long a batch takes."""
    scale: int = 1
    """What the length is multiplied by."""


class Length(Stage[LengthConfig]):
    """Adds the length of the first caption, writes down what it was asked to do."""

    name = "length"
    Config = LengthConfig
    consumes = CAPTIONS
    produces = pa.schema([("length", pa.int64())])
    seeded = False

    def process(self, batch: pa.Table) -> pa.Table:
        """Measure, slowly if asked to."""
        if self.config.log:
            with Path(self.config.log).open("a") as log:
                log.writelines(f"{self.name} {row_id}\n" for row_id in batch["id"].to_pylist())
        time.sleep(self.config.sleep_s)
        lengths = [len(captions[0]) * self.config.scale for captions in batch["captions"].to_pylist()]
        return pa.table({"length": lengths})


class Width(Length):
    """The same under another name and column."""

    name = "width"
    produces = pa.schema([("width", pa.int64())])

    def process(self, batch: pa.Table) -> pa.Table:
        """Measure, slowly if asked to."""
        return super().process(batch).rename_columns(["width"])


class Opens(Length):
    """The same, and it writes down that it was opened."""

    name = "opens"

    def open(self) -> None:
        """Write it down."""
        with Path(self.config.log).open("a") as log:
            log.write("opened\n")


class Talk(Length):
    """Writes one conversation a sample, so that there is a dataset."""

    name = "talk"
    consumes = pa.schema([*CAPTIONS, ("length", pa.int64())])
    produces = pa.schema([("conversations_of_talk", CONVERSATIONS)])

    def process(self, batch: pa.Table) -> pa.Table:
        """Ask for the caption's length."""
        lengths = super().process(batch)["length"].to_pylist()
        return rows_to_table([{"conversations_of_talk": [_conversation(length)]} for length in lengths], self.produces)


def _conversation(length: int) -> dict[str, object]:
    question = {"role": "user", "content": "How long is it?"}
    answer = {"role": "assistant", "content": f"{length} letters."}
    return {"kind": "length", "messages": [question, answer], "provenance": "talk"}


class Picky(Stage[StageConfig]):
    """Rejects rows whose caption says so, and raises or dies where it says that."""

    name = "picky"
    consumes = CAPTIONS
    produces = pa.schema([("seen", pa.string())])
    seeded = False
    reasons = {"unwanted": "the caption says reject"}

    def process(self, batch: pa.Table) -> pa.Table:
        """Do as the captions say."""
        return rows_to_table([self._see(captions[0]) for captions in batch["captions"].to_pylist()], self.produces)

    def _see(self, caption: str) -> dict[str, str] | Reject:
        if caption == "raise":
            raise ZeroDivisionError("as the caption asked")
        if caption == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if caption == "fatal":
            raise FatalError("the caption asked for the end")
        return Reject("unwanted", "it said so") if caption == "reject" else {"seen": caption}


class NeverOpens(Picky):
    """A stage whose model cannot be loaded."""

    name = "never_opens"

    def open(self) -> None:
        """Fail as a missing model fails."""
        raise FatalError("model = nowhere: no such model")


class ShortOfRows(Picky):
    """A stage with a mistake in it: it loses a row."""

    name = "short_of_rows"

    def process(self, batch: pa.Table) -> pa.Table:
        """Lose the last row."""
        return super().process(batch).slice(1)


class AboveAverage(Stage[StageConfig]):
    """A barrier: it must know the mean length of all rows before it can judge one."""

    name = "above_average"
    consumes = pa.schema([("length", pa.int64())])
    produces = pa.schema([("above", pa.bool_())])
    surveys = True
    seeded = False

    def survey(self, parts: Iterator[pa.Table]) -> pa.Table:
        """Return the mean."""
        return pa.table({"mean": [pc.mean(pa.concat_tables(list(parts))["length"]).as_py()]})

    def process(self, batch: pa.Table) -> pa.Table:
        """Compare with the mean."""
        return pa.table({"above": pc.greater(batch["length"], self.surveyed["mean"][0])})


class WrongTalk(Talk):
    """A stage that takes the length for a text."""

    name = "wrong_talk"
    consumes = pa.schema([("length", pa.string())])


class KeyedConfig(StageConfig):
    """Settings of a stage that needs secrets."""

    api_key: str = ""
    """A key that may be written here or named as a variable."""
    hf_token: str = ""
    """A token."""


class Keyed(Length):
    """A stage with secrets among its settings."""

    name = "keyed"
    Config = KeyedConfig
    produces = pa.schema([("key_length", pa.int64())])

    def process(self, batch: pa.Table) -> pa.Table:
        """Measure the key."""
        return pa.table({"key_length": [len(self.config.api_key)] * batch.num_rows})


class ChoosyConfig(StageConfig):
    """Settings of a stage that asks the outside world."""

    wanted: str = ""
    """A file with the captions that are wanted just now."""


class Choosy(Stage[ChoosyConfig]):
    """Rejects what a file outside does not name; another day the same row may pass."""

    name = "choosy"
    Config = ChoosyConfig
    consumes = CAPTIONS
    produces = pa.schema([("seen", pa.string())])
    seeded = False
    reasons = {"unwanted": "the file does not name the caption"}

    def process(self, batch: pa.Table) -> pa.Table:
        """Ask the file, and count the questions."""
        wanted = Path(self.config.wanted).read_text().split()
        self.counts["questions"] += batch.num_rows
        return rows_to_table([
            {"seen": captions[0]} if captions[0] in wanted else Reject("unwanted", captions[0])
            for captions in batch["captions"].to_pylist()
        ], self.produces)


class Raises(Stage[StageConfig]):
    """Raises what a caption names: an error a stage gives on purpose, and one nobody can print."""

    name = "raises"
    consumes = CAPTIONS
    produces = pa.schema([("seen", pa.string())])
    seeded = False
    reasons = {"unwanted": "the caption says reject"}

    def process(self, batch: pa.Table) -> pa.Table:
        """Raise."""
        captions = [captions[0] for captions in batch["captions"].to_pylist()]
        if "reject" in captions:
            raise Reject("unwanted", "raised, not returned")
        if "unprintable" in captions:
            raise ValueError("half a character: \ud800")
        return pa.table({"seen": captions})


class Pictures(Stage[StageConfig]):
    """Makes what download, clip_score and transcribe make, from the caption: a picture, a score, a transcript."""

    name = "pictures"
    consumes = CAPTIONS
    produces = pa.schema(
        [("image_bytes", pa.large_binary()), ("clip_score", pa.float32()), ("transcript", pa.string())]
    )

    def process(self, batch: pa.Table) -> pa.Table:
        """Draw a square as wide as the caption is long."""
        return rows_to_table([_picture(captions[0]) for captions in batch["captions"].to_pylist()], self.produces)


def _picture(caption: str) -> dict[str, object]:
    file = io.BytesIO()
    side = len(caption)
    Image.new("RGB", (side, side), (side % 256, 0, 0)).save(file, "PNG")
    return {
        "image_bytes": file.getvalue(), "clip_score": side / 100, "transcript": caption if side % 2 else None,
    }


class Verdict(Sink[StageConfig]):
    """Counts the dataset's rows, as a sink that comes after it does, and tells of it on the card."""

    name = "verdict"
    output = "verdict"

    def write(self, run: RunView, into: Storage, workers: Workers) -> Mapping[str, int]:
        """Count the rows of the first split."""
        rows = len(load_from_disk(run.dataset())["train"])
        into.write_json("rows.json", rows)
        return {"rows": rows}

    def on_card(self, made: Storage) -> str:
        """Tell them."""
        return f"## Verdict\n\n{made.read_json('rows.json')} row of train\n"
