"""The starter Whisper, as openai-whisper loads it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sample.scenes import make_scene
from sample.speech import decode_audio
from sample.training.whisper_evaluation import Errors, words_of, wrong_words
from sample.wording import spoken_description

HERE = Path(__file__).resolve().parents[2] / "sample"
CHECKPOINT = HERE / "models" / "whisper.pt"
RECORDINGS = sorted((HERE / "world" / "audio").glob("scene-*.ogg"))[:6]
MOST_BYTES = 18_000_000


@pytest.fixture(scope="module")
def model() -> Any:
    if not CHECKPOINT.exists():
        pytest.skip("sample/models/whisper.pt is not there: python -m sample.train_whisper makes it")
    import whisper

    return whisper.load_model(str(CHECKPOINT), device="cpu")


def _hear(model: Any, audio: Any) -> dict[str, Any]:
    heard: dict[str, Any] = model.transcribe(audio, condition_on_previous_text=False, fp16=False)
    return heard


@pytest.mark.skipif(len(RECORDINGS) < 6, reason="no recordings: python -m sample.build_world makes them")
def test_it_transcribes_the_demo_world(model: Any) -> None:
    """Of six recordings of the demo world, which it never trained on, at most 15% of the words are wrong."""
    errors = Errors()
    for path in RECORDINGS:
        heard = _hear(model, decode_audio(path.read_bytes()))
        truth = words_of(spoken_description(make_scene(int(path.stem.removeprefix("scene-")))))
        errors += Errors(1, len(truth), wrong_words(truth, words_of(heard["text"])))
    assert errors.rate <= 0.15


@pytest.mark.skipif(not RECORDINGS, reason="no recordings: python -m sample.build_world makes them")
def test_its_segments_are_sentences_in_time(model: Any) -> None:
    """A transcript comes in one segment a sentence, in order, none past the end of the audio."""
    audio = decode_audio(RECORDINGS[0].read_bytes())
    segments = _hear(model, audio)["segments"]
    times = [time for segment in segments for time in (segment["start"], segment["end"])]
    assert len(segments) >= 3
    assert all(segment["text"].endswith(".") for segment in segments)
    assert times == sorted(times)
    assert times[-1] <= len(audio) / 16_000 + 0.5


def test_it_hears_nothing_in_silence(model: Any) -> None:
    """Silence gives no text, rather than an invented description."""
    assert not _hear(model, np.zeros(16_000 * 5, dtype=np.float32))["text"].strip()


def test_it_is_small_enough_to_ship() -> None:
    """The checkpoint stays under 18 MB."""
    if not CHECKPOINT.exists():
        pytest.skip("sample/models/whisper.pt is not there: python -m sample.train_whisper makes it")
    assert CHECKPOINT.stat().st_size <= MOST_BYTES


def test_word_errors_are_counted_as_the_fewest_changes() -> None:
    """A change, an addition and an omission each count one; case and punctuation count nothing."""
    truth = words_of("The red boat, is above the cup.")
    assert wrong_words(truth, words_of("the red boat is above the cup")) == 0
    assert wrong_words(truth, words_of("The blue boat is above cup now.")) == 3
