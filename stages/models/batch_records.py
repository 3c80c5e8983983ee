"""Which batches are out, on disk before anybody waits for them, so that a run that was killed finds them again."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace

from schemas.storage import Storage

__all__ = ["BatchRecord", "BatchRecords"]


@dataclass(frozen=True)
class BatchRecord:
    """One batch.

    Attributes:
        name: of the record; the batch carries it at the server.
        file: the server's id of the uploaded requests.
        keys: of the requests whose replies the batch holds, or will hold.
        usd: what it may cost at most.
        batch: the server's id; empty as long as it is not known whether the server has made it.
        done: every reply has been fetched once.
    """

    name: str
    file: str
    keys: tuple[str, ...]
    usd: float
    batch: str = ""
    done: bool = False


class BatchRecords:
    """The records of all processes of a stage, one small file each.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Storage) -> None:
        self._folder = folder

    def add(self, file: str, keys: Collection[str], usd: float) -> BatchRecord:
        """Write down a batch that is about to be made."""
        return self.write(BatchRecord(uuid.uuid4().hex, file, tuple(keys), usd))

    def write(self, record: BatchRecord) -> BatchRecord:
        """Commit a record."""
        self._folder.write_json(f"{record.name}.json", asdict(record))
        return record

    def finish(self, record: BatchRecord, answered: Collection[str]) -> None:
        """Write down that a batch has come back; requests it did not answer are not its own any more."""
        self.write(replace(record, keys=tuple(key for key in record.keys if key in answered), done=True))

    def all(self) -> Iterator[BatchRecord]:
        """Yield every record."""
        for name in self._folder.names():
            if name.endswith(".json") and (fields := self._folder.read_json(name)):
                yield BatchRecord(**{**fields, "keys": tuple(fields["keys"])})
