"""Turns speech into text, with OpenAI's Whisper (Radford et al. 2022, github.com/openai/whisper)."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.error import URLError

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from schemas.errors import FatalError, nearest

__all__ = ["Guards", "Segment", "Transcriber", "Transcript", "WhisperTranscriber", "load_whisper"]

UNLOADABLE: Final = (
    OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError,
)
"""What whisper and torch raise on a file that is no checkpoint of theirs."""
TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried in turn while a window's text looks wrong; whisper's own default."""


@dataclass(frozen=True)
class Segment:
    """A stretch of speech; ``start`` and ``end`` in seconds."""

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float


@dataclass(frozen=True)
class Transcript:
    """What was said, and in which language (Whisper's code for it)."""

    text: str
    language: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Guards:
    """When to distrust a window of 30 s: whisper's ``transcribe`` settings of the same names."""

    no_speech_threshold: float
    logprob_threshold: float
    compression_ratio_threshold: float
    condition_on_previous_text: bool


class Transcriber(Protocol):
    """Turns speech into text."""

    def transcribe(self, samples: NDArray[np.float32], seed: int) -> Transcript:
        """Transcribe mono samples at 16 kHz; the same samples and seed give the same text."""


def load_whisper(model: str, device: str, language: str | None, guards: Guards) -> WhisperTranscriber:
    """Load a Whisper model from a checkpoint file, or by whisper's name for it.

    Args:
        model: path of a checkpoint ``{dims, model_state_dict}``, or a name such as ``tiny``.
        device: ``auto``, ``cpu`` or ``cuda``.
        language: code or English name of the language spoken; None to detect it, clip by clip.
        guards: when to distrust what the model says.

    Raises:
        FatalError: in one line, naming the model or the language.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    network = _load(model, device)
    return WhisperTranscriber(network, _language(language, network.is_multilingual, model), guards)


def _load(model: str, device: str) -> Any:
    if not Path(model).is_file() and model not in whisper.available_models():
        known = nearest(model, whisper.available_models())
        raise FatalError(f"cannot load the Whisper model {model}: no such file or model name{known}")
    try:
        return whisper.load_model(model, device).eval()
    except URLError as error:
        raise FatalError(f"cannot fetch the Whisper model {model}: {error.reason}") from error
    except UNLOADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FatalError(f"cannot load the Whisper model {model}: {reason}") from error


def _language(language: str | None, multilingual: bool, model: str) -> str | None:
    if language is None:
        return None if multilingual else "en"
    code: str = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
    if code not in LANGUAGES:
        raise FatalError(f"language {language} is none that Whisper knows{nearest(code, TO_LANGUAGE_CODE)}")
    if code != "en" and not multilingual:
        raise FatalError(f"the Whisper model {model} knows English only, not {language}")
    return code


class WhisperTranscriber:
    """OpenAI's Whisper as a ``Transcriber``."""

    def __init__(self, network: Any, language: str | None, guards: Guards) -> None:
        self.network = network
        self.language = language
        self.guards = guards

    def transcribe(self, samples: NDArray[np.float32], seed: int) -> Transcript:
        """Transcribe mono samples at 16 kHz; the same samples and seed give the same text."""
        on_gpu = self.network.device.type == "cuda"
        # Above temperature 0 whisper draws from torch's global generator.
        with torch.random.fork_rng(devices=[self.network.device] if on_gpu else []):
            torch.manual_seed(seed)
            found = self.network.transcribe(
                samples,
                language=self.language,
                temperature=TEMPERATURES,
                no_speech_threshold=self.guards.no_speech_threshold,
                logprob_threshold=self.guards.logprob_threshold,
                compression_ratio_threshold=self.guards.compression_ratio_threshold,
                condition_on_previous_text=self.guards.condition_on_previous_text,
                fp16=on_gpu,
            )
        segments = tuple(_segment(one) for one in found["segments"] if one["text"].strip())
        return Transcript(found["text"].strip(), found["language"], segments)


def _segment(found: dict[str, Any]) -> Segment:
    return Segment(
        found["start"], found["end"], found["text"].strip(), found["avg_logprob"], found["no_speech_prob"]
    )
