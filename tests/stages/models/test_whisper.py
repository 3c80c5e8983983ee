from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_whisper import save_tiny_whisper

from schemas.errors import FatalError
from stages.models.whisper import Guards, load_whisper

# Thresholds that a random model's text passes at once, so that tests see it.
LENIENT = Guards(
    no_speech_threshold=1.0, logprob_threshold=-1e9, compression_ratio_threshold=1e9,
    condition_on_previous_text=False,
)
# Thresholds it never passes: the text is drawn at temperature 1.
STRICT = Guards(
    no_speech_threshold=1.0, logprob_threshold=0.0, compression_ratio_threshold=2.4,
    condition_on_previous_text=False,
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny.pt"))


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * 16_000)).astype(np.float32)


def test_speech_gives_text_and_segments(checkpoint: str) -> None:
    """A recording gives text, made of segments in order and within it."""
    found = load_whisper(checkpoint, "cpu", "de", LENIENT).transcribe(noise(3), seed=0)
    assert found.language == "de"
    assert found.text
    assert found.segments
    assert all(0 <= one.start <= one.end <= 30 for one in found.segments)
    assert all(one.avg_logprob < 0 <= one.no_speech_prob <= 1 for one in found.segments)


def test_language_is_detected(checkpoint: str) -> None:
    """Without a language the model names the likeliest."""
    found = load_whisper(checkpoint, "cpu", None, LENIENT).transcribe(noise(1), seed=0)
    assert 2 <= len(found.language) <= 3


def test_seed_decides_what_is_drawn(checkpoint: str) -> None:
    """Where the model falls back on drawing, the seed alone decides, and torch's own generator is untouched."""
    transcriber = load_whisper(checkpoint, "cpu", "en", STRICT)
    before = torch.random.get_rng_state()
    first = transcriber.transcribe(noise(0.05), seed=7)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    assert transcriber.transcribe(noise(0.05), seed=7) == first
    assert transcriber.transcribe(noise(0.05), seed=8) != first


def test_english_model_speaks_english(tmp_path: Path) -> None:
    """A checkpoint for English needs no detection, and refuses another language before any work."""
    model = str(save_tiny_whisper(tmp_path / "tiny.en.pt", multilingual=False))
    assert load_whisper(model, "cpu", None, LENIENT).transcribe(noise(1), seed=0).language == "en"
    assert load_whisper(model, "cpu", "English", LENIENT).language == "en"
    with pytest.raises(FatalError, match="English only"):
        load_whisper(model, "cpu", "german", LENIENT)


def test_unknown_language_is_named(checkpoint: str) -> None:
    """A language Whisper does not know ends in one line with a near one."""
    with pytest.raises(FatalError, match="did you mean german"):
        load_whisper(checkpoint, "cpu", "germn", LENIENT)


@pytest.mark.parametrize("name", ["tinyy", "/nowhere/tiny.pt"])
def test_model_that_is_not_there_is_named(name: str) -> None:
    """Neither a file nor one of whisper's names: one line says so."""
    with pytest.raises(FatalError, match="no such file or model name") as caught:
        load_whisper(name, "cpu", None, LENIENT)
    assert name in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02]q\x00."])
def test_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    """A file of something else ends in one line, not in a traceback."""
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(FatalError, match=r"broken\.pt") as caught:
        load_whisper(str(path), "cpu", None, LENIENT)
    assert "\n" not in str(caught.value)


def test_model_that_cannot_be_fetched_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, one of whisper's names that is not in its cache ends in one line."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(FatalError, match="cannot fetch the Whisper model tiny"):
        load_whisper("tiny", "cpu", None, LENIENT)
