"""Arrow schemas of a sample: the canonical source columns and the types stages share."""

from __future__ import annotations

import pyarrow as pa

__all__ = [
    "BOOKKEEPING", "BOXES", "CONVERSATIONS", "DETAIL", "DIGEST", "FINDING", "INPUT", "LIVE", "PAYLOAD", "REASON",
    "REJECTED", "REJECTED_CONVERSATIONS", "REJECTS", "SOURCE",
]

BOX = pa.struct([("label", pa.string()), ("box", pa.list_(pa.float64()))])
"""One object: its label and [x1, y1, x2, y2], 0-1, top-left and bottom-right."""

BOXES = pa.list_(BOX)
"""A null list means nobody annotated the image; an empty one means it holds no object."""

PAYLOAD = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
"""Media that came with the source: its bytes, or where they are. The shape of Hugging Face's ``Image``."""

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])

FINDING = pa.struct(
    [
        ("type", pa.string()), ("turn", pa.int32()), ("start", pa.int32()), ("end", pa.int32()),
        ("message", pa.string()),
    ]
)
"""What the check found wrong: in which message (from 0), between which of its characters, and one sentence."""

CONVERSATIONS = pa.list_(
    pa.struct(
        [
            ("kind", pa.string()),
            ("messages", pa.list_(MESSAGE)),
            ("provenance", pa.string()),
            ("findings", pa.list_(FINDING)),
        ]
    )
)
"""Conversations about one sample. Every column of this type, whatever its name, enters the dataset. ``findings`` are
null where nobody checked, empty where nothing was found."""

REJECTED_CONVERSATIONS = pa.list_(
    pa.struct([("kind", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
)
"""Conversations that were asked for and not kept, of a sample that goes on."""

SOURCE = pa.schema(
    [
        ("id", pa.string()),
        ("image_url", pa.string()),
        ("image", PAYLOAD),
        ("captions", pa.list_(pa.string())),
        ("boxes", BOXES),
        ("audio_url", pa.string()),
        ("audio", PAYLOAD),
        ("transcripts", pa.list_(pa.string())),
        ("source_conversations", CONVERSATIONS),
        ("license", pa.string()),
        ("extra", pa.string()),
    ]
)
"""The source in one form. ``source_conversations`` came with the samples (LLaVA's files); ``extra`` is JSON
of every column that is not ours."""

REASON, DETAIL, LIVE, INPUT, DIGEST = "_reason", "_detail", "_live", "_input", "_digest"

REJECTED = pa.schema([(REASON, pa.string()), (DETAIL, pa.string())])
"""What a stage adds to a row it rejects; both null in a row that goes on."""

BOOKKEEPING = pa.schema(
    [*REJECTED, (LIVE, pa.bool_()), (INPUT, pa.binary(16)), (DIGEST, pa.binary(16))]
)
"""Columns in every part file beside the stage's own.

``_live``: the row goes on after this stage. ``_input``: digest of everything the row's values were computed
from (null: never computed). ``_digest``: digest of the row's values, for the stages that read them.
"""


REJECTS = pa.schema([(name, pa.string()) for name in ("id", "url", "stage", "reason", "detail")])
"""A rejected row as the dataset tells of it."""
