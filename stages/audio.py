"""Decode recordings, as they come from the web, into what speech models take."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from schemas.errors import Reject

__all__ = ["SAMPLE_RATE", "decode_audio"]

SAMPLE_RATE: Final = 16_000
FORMATS: Final = "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,mov,matroska,asf,amr"
"""What FFmpeg may open: sound files, and none of the playlist formats that name other files or URLs."""
CUT_SHORT: Final = 0.9
"""A file with less than this share of the seconds it declares was cut short."""
UNKNOWN_SIZE: Final = 0x7FFF_0000
"""Writers that cannot seek back put 0 or about the largest number where a WAV file's size belongs."""

Samples = NDArray[np.float32]


def decode_audio(data: bytes, max_s: float) -> Samples:
    """Decode the first audio stream.

    Args:
        data: a sound file in any common format.
        max_s: longest recording allowed, in seconds; no more than that is ever decoded.

    Returns:
        Mono at 16 kHz, (samples,), the mean of the channels; about -1 to 1.

    Raises:
        Reject: ``audio_decode_error``, ``audio_empty`` or ``audio_too_long``.
    """
    if _is_cut_wave(data):
        raise Reject("audio_decode_error", "cut short: the WAV header promises more bytes")
    try:
        samples, declared_s = _decode(data, int(max_s * SAMPLE_RATE))
    except (av.FFmpegError, ValueError) as error:
        raise Reject("audio_decode_error", str(error)) from error
    if samples.size > max_s * SAMPLE_RATE:
        raise Reject("audio_too_long", f"more than {max_s:g} s")
    if samples.size == 0:
        raise Reject("audio_empty", "no samples")
    seconds = samples.size / SAMPLE_RATE
    if seconds < CUT_SHORT * declared_s:
        raise Reject("audio_decode_error", f"cut short: {seconds:.2f} of {declared_s:.2f} s")
    if not np.isfinite(samples).all():
        raise Reject("audio_decode_error", "samples that are not numbers")
    return samples


def _is_cut_wave(data: bytes) -> bool:
    """Tell whether a RIFF file is shorter than its header says; FFmpeg reads such a file without a word."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return False
    size = int.from_bytes(data[4:8], "little")
    return 0 < size < UNKNOWN_SIZE and size + 8 > len(data) + 1


def _decode(data: bytes, most: int) -> tuple[Samples, float]:
    """Return the samples, and the seconds the file declares (0 where it does not)."""
    with av.open(io.BytesIO(data), "r", container_options={"format_whitelist": FORMATS}) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32), 0.0
        stream = container.streams.audio[0]
        declared_s = float((stream.duration or 0) * (stream.time_base or 0))
        chunks = [np.zeros(0, np.float32)]
        total = 0
        for chunk in _resampled(container.decode(stream)):
            chunks.append(chunk)
            total += chunk.size
            if total > most:
                break
    return np.concatenate(chunks), declared_s


def _resampled(frames: Iterator[AudioFrame]) -> Iterator[Samples]:
    """Resample to 16 kHz mono; a stream may change its rate, format or channels on the way."""
    resampler, setup = None, None
    for frame in frames:
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or now != setup:
            yield from _drained(resampler)
            # The layout stays: FFmpeg's own ways of mixing down differ by layout, and fail on unusual ones.
            resampler, setup = AudioResampler("fltp", frame.layout, SAMPLE_RATE), now
        yield from map(_mono, resampler.resample(frame))
    yield from _drained(resampler)


def _drained(resampler: AudioResampler | None) -> Iterator[Samples]:
    if resampler is not None:
        yield from map(_mono, resampler.resample(None))


def _mono(frame: AudioFrame) -> Samples:
    mean: Samples = frame.to_ndarray().mean(axis=0, dtype=np.float32)
    return mean
