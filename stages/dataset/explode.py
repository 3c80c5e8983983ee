"""Samples as dataset rows, a part at a time: what ``rows.dataset_rows`` does, by Arrow's kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["SampleRows"]

Rows = NDArray[np.int64]


class SampleRows:
    """The dataset rows of some samples: sample after sample, the conversations of each in the order of ``columns``.

    Args:
        samples: with ``rows.ROW_COLUMNS``, as far as they are there, and ``columns``.
        columns: the columns that hold conversations.
        images: returns the images of samples, by their numbers; None where no row has any.

    Attributes:
        sample: the number of each row's sample.
        nth: which of its sample's rows each one is, from 0.
    """

    def __init__(
        self, samples: pa.Table, columns: Sequence[str], images: Callable[[Rows], pa.Array] | None = None
    ) -> None:
        lists = [samples[column].combine_chunks() for column in columns]
        parents = np.concatenate([pc.list_parent_indices(each).to_numpy() for each in lists])
        order = np.argsort(parents, kind="stable")
        self.sample: Rows = parents[order].astype(np.int64)
        self.nth: Rows = np.arange(len(order)) - np.searchsorted(self.sample, self.sample)
        self._said = pa.concat_arrays([pc.list_flatten(each) for each in lists]).take(pa.array(order))
        self._samples, self._images = samples.drop_columns(list(columns)), images

    def table(self, rows: Rows, schema: pa.Schema) -> pa.Table:
        """Return some of the rows, with the columns of the dataset."""
        taken = self._samples.take(pa.array(self.sample[rows]))
        said = dict(zip(self._said.type.names, self._said.take(pa.array(rows)).flatten(), strict=True))
        shared = {name: taken[name].combine_chunks() for name in taken.column_names}
        columns = {**shared, **said, "url": _url(shared), "images": self._files(rows, schema)}
        arrays = [columns[field.name].cast(field.type) if field.name in columns else pa.nulls(len(rows), field.type)
                  for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _files(self, rows: Rows, schema: pa.Schema) -> pa.Array:
        """Return a list with each row's image; empty where it has none."""
        type_ = schema.field("images").type
        image = pa.nulls(len(rows), pa.binary()) if self._images is None else self._images(self.sample[rows])
        present = image.drop_null().cast(pa.binary())
        paths = pa.nulls(len(present), pa.string())
        files = pa.StructArray.from_arrays([present, paths], fields=list(type_.value_type))
        ends = np.cumsum(image.is_valid().to_numpy(zero_copy_only=False))
        return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]), pa.int32()), files, type=type_)


def _url(shared: dict[str, pa.Array]) -> pa.Array:
    """Return the image's URL, or else the recording's."""
    image, audio = shared["image_url"], shared["audio_url"]
    return pc.coalesce(pc.if_else(pc.equal(image, ""), None, image), audio)
