"""From samples to dataset rows, one row per conversation, a part at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["IMAGE", "SampleRows"]

IMAGE = "image_bytes"

Rows = NDArray[np.int64]


class SampleRows:
    """The dataset rows of some samples: sample after sample, the conversations of each in the order of ``columns``.

    Args:
        stored: samples with ``rows.ROW_COLUMNS``, as far as they are there, and ``columns``.
        live: the places of those that count.
        columns: the columns that hold conversations.

    Attributes:
        sample: the number of each row's sample among those that count.
        nth: which of its sample's rows each one is, from 0.
    """

    def __init__(self, stored: pa.RecordBatch, live: Rows, columns: Sequence[str]) -> None:
        self._live = live
        self._images = stored[IMAGE] if IMAGE in stored.schema.names else None
        texts = [name for name in stored.schema.names if name != IMAGE]
        self._samples = stored.select(texts).take(pa.array(live))
        lists = [self._samples[column] for column in columns]
        parents = np.concatenate([pc.list_parent_indices(each).to_numpy() for each in lists])
        order = np.argsort(parents, kind="stable")
        self.sample: Rows = parents[order].astype(np.int64)
        self.nth: Rows = np.arange(len(order)) - np.searchsorted(self.sample, self.sample)
        self._said = pa.concat_arrays([pc.list_flatten(each) for each in lists]).take(pa.array(order))

    @property
    def ids(self) -> pa.Array:
        """Each sample's id."""
        return self._samples["id"]

    @property
    def splits(self) -> pa.Array:
        """Each sample's split."""
        return self._samples["split"]

    def image_lengths(self) -> pa.Array:
        """Return the bytes of each sample's image, null where it has none; no image is read."""
        if self._images is None:
            return pa.nulls(len(self._live), pa.int64())
        return pc.binary_length(self._images).take(pa.array(self._live)).cast(pa.int64())

    def batch(self, rows: Rows, schema: pa.Schema) -> pa.RecordBatch:
        """Return some of the rows, with the columns of the dataset."""
        images = schema.get_field_index("images")
        return self.texts(rows, schema).set_column(images, schema.field(images), self._files(rows, schema))

    def texts(self, rows: Rows, schema: pa.Schema) -> pa.RecordBatch:
        """Return some of the rows without their images."""
        taken = self._samples.take(pa.array(self.sample[rows]))
        shared = dict(zip(taken.schema.names, taken.columns, strict=True))
        said = dict(zip(self._said.type.names, self._said.take(pa.array(rows)).flatten(), strict=True))
        columns = {**shared, **said, "url": _url(shared)}
        arrays = [columns[field.name].cast(field.type) if field.name in columns else pa.nulls(len(rows), field.type)
                  for field in schema]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _files(self, rows: Rows, schema: pa.Schema) -> pa.Array:
        """Return a list with each row's image; empty where it has none."""
        type_ = schema.field("images").type
        samples = pa.array(self._live[self.sample[rows]])
        image = pa.nulls(len(rows), pa.binary()) if self._images is None else self._images.take(samples)
        present = image.drop_null().cast(pa.binary())
        paths = pa.nulls(len(present), pa.string())
        files = pa.StructArray.from_arrays([present, paths], fields=list(type_.value_type))
        ends = np.cumsum(image.is_valid().to_numpy(zero_copy_only=False))
        return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]), pa.int32()), files, type=type_)


def _url(shared: dict[str, pa.Array]) -> pa.Array:
    """Return the image's URL, or else the recording's."""
    image, audio = shared["image_url"], shared["audio_url"]
    return pc.coalesce(pc.if_else(pc.equal(image, ""), None, image), audio)
