"""Limits that processes of one machine share."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from stages.fetching.machine import MachineLimits

HOLD = """
import sys, time
from stages.fetching.machine import MachineLimits
slot = MachineLimits(60).take_slot("a.example:80", 2)
print("held" if slot else "none", flush=True)
time.sleep(60)
"""


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineLimits:
    """Limits in a temporary folder of their own, which child processes see too."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return MachineLimits(60)


def test_connection_slots_hold_across_processes_and_go_with_a_kill(limits: MachineLimits) -> None:
    """Another process's slot counts, and is free again when that process is killed."""
    other = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    mine = limits.take_slot("a.example:80", 2)
    assert mine is not None
    assert limits.take_slot("a.example:80", 2) is None
    assert limits.take_slot("b.example:80", 2) is not None
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert limits.take_slot("a.example:80", 2) is not None


def test_tokens_come_at_their_rate_after_a_burst(limits: MachineLimits) -> None:
    """Three at once, then one each tenth of a second; a second process's requests would queue behind."""
    waits = [limits.take_token("a.example:80", per_s=10, burst=3) for _ in range(6)]
    assert waits[:3] == [0, 0, 0]
    assert waits[3:] == pytest.approx([0.1, 0.2, 0.3], abs=0.05)
    again = MachineLimits(60).take_token("a.example:80", per_s=10, burst=3)
    assert again == pytest.approx(0.4, abs=0.05)


def test_pause_holds_everybody_and_unlimited_hosts_too(limits: MachineLimits) -> None:
    """Retry-After holds whether or not there is a rate limit."""
    for per_s, burst in ((0.0, 1.0), (10.0, 10.0)):
        name = f"{per_s}.example:80"
        assert limits.take_token(name, per_s, burst) == 0
        limits.pause(name, 2, per_s, burst)
        assert MachineLimits(60).take_token(name, per_s, burst) == pytest.approx(2, abs=0.1)


def test_time_from_a_wrong_clock_is_forgotten(limits: MachineLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that was filled by a clock a year ahead stops nobody."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 365 * 86400)
    limits.pause("a.example:80", 10, 1, 1)
    monkeypatch.setattr(time, "time", lambda: now)
    assert limits.take_token("a.example:80", 1, 1) == 0
