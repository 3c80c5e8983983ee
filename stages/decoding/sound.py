"""Recordings: what they say of themselves, without decoding more than their beginning.

Runs in a child process, like images.py.
"""

from __future__ import annotations

import hashlib
import io
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from schemas.errors import Reject
from stages.audio import FORMATS
from stages.decoding.finished import Sound

__all__ = ["probe"]

TICK: Final = 1_000_000
"""FFmpeg gives the duration of a whole file in microseconds."""


def probe(data: bytes) -> Sound:
    """Read rate, channels, codec and length of the first audio stream, and decode its first frame.

    Damage further on is not looked for: ``transcribe`` decodes all of it and says so.

    Raises:
        Reject: ``empty``; ``not_audio``: no sound file, or none with an audio stream; ``audio_broken``: it is one,
            but its stream cannot be decoded.
    """
    if not data:
        raise Reject("empty", "no bytes")
    try:
        container = av.open(io.BytesIO(data), "r", container_options={"format_whitelist": FORMATS})
    except (av.FFmpegError, ValueError) as error:
        raise Reject("not_audio", f"{error}; begins with {data[:16]!r}") from error
    with container:
        if not container.streams.audio:
            raise Reject("not_audio", f"{container.format.name} without an audio stream")
        try:
            return _described(container, container.streams.audio[0], hashlib.sha256(data).hexdigest())
        except (av.FFmpegError, ValueError) as error:
            raise Reject("audio_broken", str(error)) from error


def _described(container: InputContainer, stream: AudioStream, sha256: str) -> Sound:
    frame = next(container.decode(stream), None)
    if frame is None or frame.sample_rate <= 0:
        raise Reject("audio_broken", "no samples")
    return Sound(
        duration_s=_duration_s(container, stream),
        rate=frame.sample_rate,
        channels=frame.layout.nb_channels,
        codec=stream.codec_context.name,
        sha256=sha256,
    )


def _duration_s(container: InputContainer, stream: AudioStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return container.duration / TICK
    container.seek(0)
    return sum(float(packet.duration * packet.time_base) for packet in container.demux(stream) if packet.duration)
