"""What parent and child say to each other over the child's standard input and output.

A question is ``QUESTION`` (kind, length) and the file's bytes. An answer is ``ANSWER`` (two lengths), a JSON object,
and the bytes of the finished image, none where they are the ones that were asked about. The object holds the fields of
the result, or ``reason`` and ``detail``. A child that is ready for questions says ``READY`` first.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["ANSWER", "IMAGE", "QUESTION", "READY", "SOUND"]

QUESTION: Final = struct.Struct("<cI")
ANSWER: Final = struct.Struct("<II")
READY: Final = b"ready"
IMAGE: Final = b"i"
SOUND: Final = b"s"
