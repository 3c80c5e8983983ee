"""Speech of the sample world."""

import shutil

import numpy as np
import pytest

from sample.scenes import make_scene
from sample.speech import SAMPLE_RATE_HZ, VOICES, EspeakMissingError, decode_audio, encode_ogg, speak
from sample.wording import spoken_description

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def _tone(seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.4 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)


def test_a_compressed_tone_comes_back() -> None:
    """Ogg Opus keeps the length and the loudness of what was put in, at about 20 kbit/s or less."""
    tone = _tone(2.0)
    data = encode_ogg(tone)
    heard = decode_audio(data)
    assert data.startswith(b"OggS")
    assert len(data) * 8 / 2.0 < 32_000
    assert abs(len(heard) - len(tone)) < 0.05 * SAMPLE_RATE_HZ
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(tone**2)), rel=0.1)


def test_compressing_twice_gives_the_same_bytes() -> None:
    """No random serial number enters the file."""
    assert encode_ogg(_tone(0.5)) == encode_ogg(_tone(0.5))


def test_stereo_is_refused() -> None:
    """Samples of another shape than (n,) are refused."""
    with pytest.raises(ValueError, match="shape"):
        encode_ogg(np.zeros((2, 100), dtype=np.float32))


@needs_espeak
@pytest.mark.parametrize("voice", VOICES)
def test_every_voice_speaks(voice: str) -> None:
    """Each listed voice exists and gives sound."""
    samples = speak("two red boats", voice, 170, 50)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 0.5 < len(samples) / SAMPLE_RATE_HZ < 4
    assert np.abs(samples).max() > 0.1


@needs_espeak
def test_the_longest_descriptions_fit_whispers_window() -> None:
    """Spoken slowly, the longest of many descriptions still ends before 28 seconds."""
    longest = max((spoken_description(make_scene(seed)) for seed in range(20_000, 20_300)), key=len)
    assert len(speak(longest, VOICES[0], 160, 50)) / SAMPLE_RATE_HZ < 28


@needs_espeak
def test_an_unknown_voice_is_refused_by_name() -> None:
    """A voice that espeak-ng does not have is named in the error."""
    with pytest.raises(ValueError, match="xx-none"):
        speak("hello", "xx-none", 170, 50)


def test_a_missing_program_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without espeak-ng on the path the error names the package to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EspeakMissingError, match="apt-get install espeak-ng"):
        speak("hello", "en-us", 170, 50)
