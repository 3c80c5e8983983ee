"""Speech for the sample world: the espeak-ng program speaks, PyAV compresses and reads back.

Audio in memory is float32, mono, 16 kHz, about -1 to 1 (compressed peaks may pass 1 by a hair). espeak-ng
is needed only to build the world or to train on it; the built world carries its audio in files.
"""

import io
import shutil
import subprocess

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLE_RATE_HZ", "VOICES", "EspeakMissingError", "decode_audio", "encode_ogg", "speak"]

SAMPLE_RATE_HZ = 16_000
BITS_PER_SECOND = 20_000
VOICES: tuple[str, ...] = ("en-us", "en-gb", "en-us+f3", "en-gb+m3", "en-gb-x-rp+f2", "en-gb-scotland")


class EspeakMissingError(RuntimeError):
    """The espeak-ng program is not on this machine."""

    def __init__(self) -> None:
        super().__init__("the program espeak-ng was not found: install it with `apt-get install espeak-ng`")


def speak(text: str, voice: str = "en-us", speed_wpm: int = 170, pitch: int = 50) -> NDArray[np.float32]:
    """Speak a text: float32 samples of shape (n,), mono, 16 kHz.

    `voice` is any voice of espeak-ng (see `VOICES`), `speed_wpm` words a minute (80 to 450), `pitch` 0 to 99.
    Raises EspeakMissingError without the program, ValueError for an argument that it would not take.
    """
    if not text.strip():
        raise ValueError("there is no text to speak")
    if not 80 <= speed_wpm <= 450:
        raise ValueError(f"speed_wpm must be 80 to 450, got {speed_wpm}")
    if not 0 <= pitch <= 99:
        raise ValueError(f"pitch must be 0 to 99, got {pitch}")
    program = shutil.which("espeak-ng")
    if program is None:
        raise EspeakMissingError
    done = subprocess.run(
        [program, "-v", voice, "-s", str(speed_wpm), "-p", str(pitch), "--stdin", "--stdout"],
        input=text.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode or not done.stdout:
        raise ValueError(f"espeak-ng refused voice {voice!r}: {done.stderr.decode(errors='replace').strip()}")
    return decode_audio(done.stdout)


def decode_audio(data: bytes) -> NDArray[np.float32]:
    """Decode a whole audio file of any format that FFmpeg reads: float32 samples (n,), mono, 16 kHz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    pieces: list[NDArray[np.float32]] = []
    with av.open(io.BytesIO(data), "r") as container:
        for frame in [*container.decode(audio=0), None]:  # None: what the resampler still holds
            pieces += [part.to_ndarray()[0].astype(np.float32) for part in resampler.resample(frame)]
    return np.concatenate(pieces)


def encode_ogg(samples: NDArray[np.float32]) -> bytes:
    """Compress float32 samples (n,), mono, 16 kHz, to an Ogg Opus file of about 20 kbit/s.

    The same samples give the same bytes: without the bitexact flag the stream's serial number is random.
    """
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise ValueError(f"samples must be float32 of shape (n,), got {samples.dtype} of {samples.shape}")
    file = io.BytesIO()
    with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.bit_rate = BITS_PER_SECOND
        stream.codec_context.options = {"application": "voip", "flags": "+bitexact"}
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="flt", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()
