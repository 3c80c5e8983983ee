"""``decontaminate``: reject samples whose image or text is in a benchmark that the model will be judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from schemas.columns import CONVERSATIONS, SOURCE
from schemas.config import SPEED, ExistingPath, Frozen, ModelRef, StageConfig
from schemas.errors import FatalError, Reject
from stages.base import ANY, Stage, rejected, rows_to_table

if TYPE_CHECKING:
    from stages.benchmarks.index import ItemImage, ItemText

__all__ = ["Benchmark", "Decontaminate", "DecontaminateConfig"]

EMBEDDING = "image_embedding"


class Benchmark(Frozen):
    """One benchmark: a folder of images, a table of texts (and images), or both."""

    name: str = Field(min_length=1)
    """What to call it in the detail of a reject."""
    images: ExistingPath | None = None
    """A folder of images, searched with its folders, or one image."""
    table: ExistingPath | None = None
    """A table of its questions: csv, tsv, jsonl, json, parquet or arrow, by file name."""
    text_columns: list[str] = ["question"]
    """The table's columns of texts."""
    image_column: str | None = None
    """The table's column of images, as bytes or as Hugging Face's ``{bytes, path}``."""

    @field_validator("images", "table")
    @classmethod
    def _one_place(cls, path: str | None) -> str | None:
        if path is not None and not Path(path).exists():
            raise ValueError("must be a file or folder, not a pattern")
        return path

    @model_validator(mode="after")
    def _holds_something(self) -> Benchmark:
        if self.images is None and self.table is None:
            raise ValueError("give images, table, or both")
        if self.image_column is not None and self.table is None:
            raise ValueError("image_column is a column of a table: give one")
        return self


class DecontaminateConfig(StageConfig):
    """Settings of ``decontaminate``."""

    benchmarks: list[Benchmark] = Field(min_length=1)
    """The benchmarks: ``{name, images: FOLDER, table: FILE, text_columns: [question], image_column}`` each."""
    near: int = Field(6, ge=0, le=64)
    """An image matches one whose perceptual hash differs in at most so many of 64 bits."""
    model: ModelRef | None = None
    """The CLIP model that ``clip_score`` uses: benchmark images are embedded too, and compared with
    ``image_embedding``."""
    cosine: float = Field(0.95, gt=0, le=1)
    """With ``model``: an image matches one whose embedding has at least this cosine with its own."""
    device: Annotated[Literal["auto", "cpu", "cuda"], SPEED] = "auto"
    """Where ``model`` runs."""
    ngram: int = Field(13, ge=1)
    """A text matches one that has so many words in a row in common with it."""
    short_text: int = Field(8, ge=1)
    """A text of fewer than ``ngram`` words, but at least so many, matches one that is equal, but for case and
    punctuation. Shorter ones match nothing: "What is in the image?" is in every benchmark."""


class Decontaminate(Stage[DecontaminateConfig]):
    """Adds the nearest benchmark items, and rejects samples that match one.

    Compared are the perceptual hash, with ``model`` the embedding, and captions, transcripts and whatever conversations
    there are before it. The benchmarks are read once a run.
    """

    name = "decontaminate"
    Config = DecontaminateConfig
    seeded = False
    optional = pa.schema([SOURCE.field("captions"), SOURCE.field("transcripts"), ("transcript", pa.string())])
    consumes_every = CONVERSATIONS
    produces = pa.schema([
        ("benchmark_image", pa.string()), ("benchmark_distance", pa.int32()),
        ("benchmark_similar", pa.string()), ("benchmark_cosine", pa.float32()), ("benchmark_text", pa.string()),
    ])
    reasons: ClassVar[Mapping[str, str]] = {
        "contaminated": "the image or a text is a benchmark's; the detail names the item",
    }

    def __init__(self, config: DecontaminateConfig) -> None:
        """Read hashes and embeddings only where there are images to compare with."""
        super().__init__(config)
        with_images = any(each.images or each.image_column for each in config.benchmarks)
        compared = [("phash", pa.string(), with_images), (EMBEDDING, ANY, with_images and config.model is not None)]
        self.consumes = pa.schema([(name, type_) for name, type_, is_read in compared if is_read])

    def model_files(self) -> Sequence[str]:
        """Return the model and every file of the benchmarks."""
        files = [path for each in self.config.benchmarks for path in (each.images, each.table) if path]
        return [*files, self.config.model] if self.config.model else files

    def open(self) -> None:
        """Read the benchmarks, or what was read of them before in this run; raises FatalError."""
        from stages.benchmarks.index import Index, image_table, text_table

        known = f"index-{self._identity()}"
        if not self.folder.exists(f"{known}-texts.arrow"):
            images = image_table(self._images(), self._scorer(), max(1, int(self.config.cpus)))
            texts = text_table(self._texts(), self.config.ngram, self.config.short_text)
            self.folder.write_table(f"{known}-images.arrow", images)
            self.folder.write_table(f"{known}-texts.arrow", texts)  # last: with it the index is complete
        tables = (self.folder.read_table(f"{known}-{kind}.arrow") for kind in ("images", "texts"))
        self.index = Index(*tables)

    def _identity(self) -> str:
        """Return a digest of the benchmarks' files, by name, size and time of change, and of what is made of them."""
        settings = self.config.model_dump_json(include={"benchmarks", "model", "ngram", "short_text"})
        state = hashlib.blake2b(settings.encode(), digest_size=8)
        for root in self.model_files():
            path = Path(root)
            for file in sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []:
                info = file.stat()
                state.update(f"{file}:{info.st_size}:{info.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        return state.hexdigest()

    def _scorer(self) -> Any:
        from stages.models.clip import load_clip

        return load_clip(self.config.model, self.config.device, "auto") if self.config.model else None

    def _images(self) -> Iterator[ItemImage]:
        from stages.benchmarks.files import image_files, table_rows
        from stages.benchmarks.index import ItemImage

        for each in self.config.benchmarks:
            for file in image_files(each.images) if each.images else ():
                yield ItemImage(f"{each.name}: {file.relative_to(Path(str(each.images)).parent)}", file.read_bytes())
            if each.table and each.image_column:
                for number, row in enumerate(table_rows(each.table, [each.image_column])):
                    name = f"{each.name}: {Path(each.table).name}, row {number}"
                    yield ItemImage(name, _bytes(row[each.image_column], name))

    def _texts(self) -> Iterator[ItemText]:
        from stages.benchmarks.files import table_rows
        from stages.benchmarks.index import ItemText

        for each in self.config.benchmarks:
            if each.table and each.text_columns:
                for number, row in enumerate(table_rows(each.table, each.text_columns)):
                    name = f"{each.name}: {Path(each.table).name}, row {number}"
                    yield from (ItemText(name, text) for text in row.values() if isinstance(text, str))

    def process(self, batch: pa.Table) -> pa.Table:
        """Compare every row with the benchmarks."""
        return rows_to_table([self._row(row) for row in batch.to_pylist()], self.produces)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {**self._image(row), "benchmark_text": self._text(row)}
        reject = self._match(values)
        return {**values, **rejected(reject)} if reject else values

    def _image(self, row: Mapping[str, Any]) -> dict[str, Any]:
        import numpy as np

        from stages.duplicates.columns import hex_words

        values: dict[str, Any] = {}
        if row.get("phash") is not None:
            found = self.index.by_hash(hex_words([row["phash"]], "phash")[0, 0])
            values |= dict(zip(("benchmark_image", "benchmark_distance"), found or (), strict=False))
        if self.config.model is not None and row.get(EMBEDDING) is not None:
            similar = self.index.by_embedding(np.asarray(row[EMBEDDING], np.float32))
            values |= dict(zip(("benchmark_similar", "benchmark_cosine"), similar or (), strict=False))
        return values

    def _text(self, row: Mapping[str, Any]) -> str | None:
        from stages.benchmarks.ngrams import text_keys

        for text in _texts_of(row):
            if found := self.index.by_text(text_keys(text, self.config.ngram, self.config.short_text)):
                return found
        return None

    def _match(self, values: Mapping[str, Any]) -> Reject | None:
        distance, cosine = values.get("benchmark_distance"), values.get("benchmark_cosine")
        if distance is not None and distance <= self.config.near:
            return Reject("contaminated", f"image of {values['benchmark_image']} ({distance} of 64 bits differ)")
        if cosine is not None and cosine >= self.config.cosine:
            return Reject("contaminated", f"image like {values['benchmark_similar']} (cosine {cosine:.3f})")
        if values["benchmark_text"] is not None:
            return Reject("contaminated", f"text of {values['benchmark_text']}")
        return None


def _texts_of(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything a sample says."""
    for value in row.values():
        for each in value if isinstance(value, list) else ():
            if isinstance(each, str):
                yield each
            elif isinstance(each, dict):
                yield from (message["content"] or "" for message in each["messages"] or ())
    if row.get("transcript"):
        yield row["transcript"]


def _bytes(value: Any, name: str) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise FatalError(f"{name}: the image column holds {type(data).__name__}, not bytes")
    return data
