from __future__ import annotations

import io
import json
import struct
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
from tiny_whisper import save_tiny_whisper

from schemas.errors import Reject
from stages.audio import SAMPLE_RATE, decode_audio
from stages.transcribe import Transcribe, TranscribeConfig

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def clips() -> list[Any]:
    """List the speech clips, or one skipped parameter where they are absent."""
    listing = DATA / "speech.jsonl"
    if not listing.exists():
        return [pytest.param("", marks=pytest.mark.skip(reason=f"no test data in {DATA}"))]
    return [json.loads(line)["audio"] for line in listing.read_text(encoding="utf-8").splitlines()]


def hostile() -> list[Any]:
    """List the faulty and uncommon recordings, or one skipped parameter where they are absent."""
    found = sorted((DATA / "hostile" / "audio").rglob("*.flac"))
    return found or [pytest.param(Path(), marks=pytest.mark.skip(reason=f"no test data in {DATA}"))]


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> bytes:
    """Make a WAV file of a 440 Hz tone, half as loud as can be."""
    times = np.arange(int(seconds * rate)) / rate
    samples = (np.sin(2 * np.pi * 440 * times) * 16_384).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).tobytes())
    return buffer.getvalue()


def seconds_of(path: Path) -> float:
    """Measure a clip at its own rate, frame by frame."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        return sum(frame.samples / frame.sample_rate for frame in frames)


@pytest.mark.parametrize("name", clips())
def test_every_clip_decodes_to_mono_16_khz(name: str) -> None:
    """Every format and layout of speech gives its full length in samples, and they are sound."""
    samples = decode_audio((DATA / name).read_bytes(), 600)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert samples.size / SAMPLE_RATE == pytest.approx(seconds_of(DATA / name), abs=0.01)
    assert 0.001 < np.abs(samples).max() < 1.1


@pytest.mark.parametrize("path", hostile(), ids=lambda path: path.name)
def test_hostile_recordings_give_samples_or_a_reason(path: Path) -> None:
    """Files made to break decoders end in finite samples or in a reject, never in another error."""
    outcome: np.ndarray | Reject
    try:
        outcome = decode_audio(path.read_bytes(), 600)
    except Reject as reject:
        outcome = reject
    if isinstance(outcome, Reject):
        assert outcome.reason in Transcribe.reasons
    else:
        assert outcome.size
        assert np.isfinite(outcome).all()


def test_channels_may_change_on_the_way() -> None:
    """A stream that goes from four channels to one loses nothing."""
    path = DATA / "hostile/audio/flac-test-files/uncommon/03-decreasing_number_of_channels.flac"
    if not path.exists():
        pytest.skip(f"no test data in {DATA}")
    samples = decode_audio(path.read_bytes(), 600)
    assert samples.size / SAMPLE_RATE == pytest.approx(seconds_of(path), abs=0.01)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (44_100, 1), (48_000, 6)])
def test_pitch_and_loudness_survive(rate: int, channels: int) -> None:
    """A tone is the same tone after resampling and mixing down."""
    samples = decode_audio(tone(1.0, rate, channels), 600)
    spectrum = np.abs(np.fft.rfft(samples[:16_000]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "audio_decode_error"),
        (b"<html>Not found</html>" * 50, "audio_decode_error"),
        (tone(1.0)[:20_000], "audio_decode_error"),
        (tone(0.0), "audio_empty"),
        (tone(3.1), "audio_too_long"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
         "audio_decode_error"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "audio_decode_error"),
    ],
    ids=["nothing", "html", "cut", "no samples", "long", "playlist", "concat"],
)
def test_bad_recordings_are_rejected(data: bytes, expected: str) -> None:
    """What is no whole recording of an allowed length is rejected; playlists are never followed."""
    with pytest.raises(Reject) as caught:
        decode_audio(data, 3.0)
    assert caught.value.reason == expected


def test_streamed_wav_is_whole() -> None:
    """A WAV whose writer could not know its size is not taken for a cut one."""
    data = bytearray(tone(1.0))
    data[4:8] = data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    assert decode_audio(bytes(data), 3.0).size == SAMPLE_RATE


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny.pt"))


def opened(checkpoint: str, **settings: Any) -> Transcribe:
    """Make the stage; its guards let a random model's text pass unless the settings say otherwise."""
    lenient = {
        "logprob_threshold": -1e9, "compression_ratio_threshold": 1e9, "no_speech_threshold": 1.0,
        "language": "en",
    }
    config = TranscribeConfig(use="transcribe", model=checkpoint, device="cpu", **{**lenient, **settings})
    stage = Transcribe(config)
    stage.open()
    return stage


def run(stage: Transcribe, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
    found = stage.process(pa.Table.from_pylist([{"id": "x", **row} for row in rows], schema=schema)).to_pylist()
    assert {row["_reason"] for row in found} <= {None, *stage.reasons}
    return found


def test_recording_becomes_text(checkpoint: str) -> None:
    """Text, language, segments and length of a recording are told."""
    [row] = run(opened(checkpoint), {"audio_bytes": tone(2.0)})
    assert row["_reason"] is None
    assert row["transcript"]
    assert row["transcript_language"] == "en"
    assert row["audio_seconds"] == 2.0
    assert set(row["transcript_segments"][0]) == {"start", "end", "text", "avg_logprob", "no_speech_prob"}


def test_rows_without_recording_go_on(checkpoint: str) -> None:
    """They keep the first transcript that came with them, or nulls."""
    given, none = run(opened(checkpoint), {"transcripts": ["a dog", "the dog"]}, {})
    assert given["transcript"] == "a dog"
    assert given["_reason"] is none["_reason"] is none["transcript"] is given["audio_seconds"] is None


def test_bad_recording_costs_its_row_only(checkpoint: str) -> None:
    """A broken recording is rejected, the one beside it transcribed."""
    bad, good = run(opened(checkpoint), {"audio_bytes": b"nothing"}, {"audio_bytes": tone(1.0)})
    assert bad["_reason"] == "audio_decode_error"
    assert good["transcript"]


def test_no_speech_is_a_reason(checkpoint: str) -> None:
    """Where the model's guards leave no text the row is rejected rather than given an empty string."""
    stage = opened(checkpoint, no_speech_threshold=0.0, logprob_threshold=0.0)
    assert run(stage, {"audio_bytes": tone(1.0)})[0]["_reason"] == "no_speech"


def test_text_does_not_depend_on_order(checkpoint: str) -> None:
    """Even drawn text is the recording's own: the same alone, after others and in a new process."""
    strict = {"logprob_threshold": 0.0}
    first, second = {"audio_bytes": tone(0.05)}, {"audio_bytes": tone(0.07)}
    together = run(opened(checkpoint, **strict), first, second)
    assert run(opened(checkpoint, **strict), second, first) == together[::-1]


def test_model_is_part_of_the_fingerprint(checkpoint: str) -> None:
    """The stage names its checkpoint, so that another model transcribes anew."""
    assert Transcribe(TranscribeConfig(use="transcribe", model=checkpoint)).model_files() == [checkpoint]
