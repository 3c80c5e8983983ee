"""Whether images and recordings decode, each image in a process of its own that it may crash."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from schemas.errors import Reject
from stages.audio import decode_audio
from stages.decoding.sandbox import Decoders
from stages.decoding.settings import ImageSettings

__all__ = ["MediaCheck"]

REMEMBERED: Final = 10_000
"""Files whose verdict is kept: the rows of one sample share their image."""
LONGEST_S: Final = 24 * 3600.0


class MediaCheck:
    """Decodes media. Use as a context manager."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._decoders = Decoders(ImageSettings(use="lint"))
        self._verdicts: OrderedDict[bytes, str] = OrderedDict()

    def __enter__(self) -> MediaCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._decoders.close())
        self._runner.close()

    def verdicts(self, files: Sequence[Any], *, sound: bool) -> list[str]:
        """Return what is wrong with each file, empty where nothing is.

        Args:
            files: ``{bytes, path}`` each, as ``datasets`` stores media.
            sound: they are recordings, not images.
        """
        contents = [(file or {}).get("bytes") for file in files]
        keys = [hashlib.sha256(content or b"").digest() for content in contents]
        new = {key: content for key, content in zip(keys, contents, strict=True) if key not in self._verdicts}
        self._verdicts.update(zip(new, self._runner.run(self._decoded(list(new.values()), sound)), strict=True))
        verdicts = [self._verdicts[key] for key in keys]
        while len(self._verdicts) > REMEMBERED:
            self._verdicts.popitem(last=False)
        return verdicts

    async def _decoded(self, contents: Sequence[bytes | None], sound: bool) -> list[str]:
        return await asyncio.gather(*(self._one(content, sound) for content in contents))

    async def _one(self, content: bytes | None, sound: bool) -> str:
        if not content:
            return "has no bytes"
        try:
            if sound:
                await self._decoders.sound(content)
                await asyncio.to_thread(decode_audio, content, LONGEST_S)
            else:
                await self._decoders.image(content)
        except Reject as reject:
            return f"does not decode: {reject.reason}: {reject.detail}"
        return ""
