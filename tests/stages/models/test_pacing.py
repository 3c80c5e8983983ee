"""How many requests go out at once, and how many a minute."""

from __future__ import annotations

import asyncio
import email.utils

import pytest

from stages.models.pacing import LONGEST_WAIT_S, Pace, RateLimit, backoff_s, retry_after_s


def rounds(pace: Pace, refused_of_100: int, outcomes: int) -> None:
    """Let so many requests come back, a share of them refused, evenly spread."""

    async def run() -> None:
        for number in range(outcomes):
            await pace.enter()
            pace.leave(refused=(number + 1) * refused_of_100 // 100 > number * refused_of_100 // 100)

    asyncio.run(run())


def test_all_refused_falls_to_one() -> None:
    """A server that refuses everything is soon asked one at a time, never none."""
    pace = Pace(64)
    rounds(pace, 100, 500)
    assert pace.limit == 1


def test_recovers_when_nothing_is_refused() -> None:
    """The number grows back, and not past the bound."""
    pace = Pace(64)
    rounds(pace, 100, 200)
    rounds(pace, 0, 5000)
    assert pace.limit == 64


def test_a_few_refusals_cost_little() -> None:
    """With one refusal in 16 nearly all the places stay; with one in 3 few do."""
    few, many = Pace(64), Pace(64)
    rounds(few, 6, 5000)
    rounds(many, 33, 5000)
    assert few.limit > 55
    assert many.limit < 20


def test_places_are_bounded_and_handed_on() -> None:
    """No more than the bound are in; a request sent again overtakes those that wait; a cancelled one leaves no gap."""

    async def run() -> list[str]:
        pace, order = Pace(1), []
        await pace.enter()

        async def one(name: str, again: bool = False) -> None:
            await pace.enter(again)
            order.append(name)
            assert pace.in_flight == 1
            pace.leave(refused=False)

        tasks = [asyncio.create_task(one(name)) for name in ("cancelled", "first", "second")]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(one("again", again=True)))
        await asyncio.sleep(0)
        tasks[0].cancel()
        pace.leave(refused=False)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert pace.in_flight == 0
        return order

    assert asyncio.run(run()) == ["again", "first", "second"]


def test_hold_stops_all_only_where_most_are_refused() -> None:
    """One refusal among many holds up nobody else; when most are refused everybody waits."""

    async def run(refusals: int) -> bool:
        pace = Pace(8)
        for _ in range(refusals):
            await pace.enter()
            pace.leave(refused=True)
        pace.hold(60)
        try:
            async with asyncio.timeout(0.01):
                await pace.enter()
        except TimeoutError:
            return False
        return True

    assert asyncio.run(run(1))
    assert not asyncio.run(run(5))


def test_rate_spreads_what_goes_beyond_the_burst() -> None:
    """At 60 a minute five may go at once, the next a second later, and what is given back counts."""
    now = 100.0
    rate = RateLimit(60, lambda: now)
    assert [rate.take(1) for _ in range(8)] == [0, 0, 0, 0, 0, 0, 1, 2]
    rate.take(-3)
    assert rate.take(1) == 0
    now += 1000
    assert [rate.take(1) for _ in range(7)][-1] == 1
    assert RateLimit(None).take(1e9) == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None), ({"retry-after": "2"}, 2), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None), ({"retry-after": "-3"}, None), ({"retry-after": "nan"}, None),
        ({"retry-after": "86400"}, LONGEST_WAIT_S), ({"retry-after": email.utils.formatdate(1030, usegmt=True)}, 30),
        ({"retry-after": email.utils.formatdate(10, usegmt=True)}, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    """What the server asks for is understood in every form, bounded, and ignored where it makes no sense."""
    assert retry_after_s(headers, lambda: 1000.0) == seconds


def test_backoff_doubles_up_to_a_bound() -> None:
    """Half of each wait is left to chance."""
    assert [backoff_s(attempt, lambda: 1.0) for attempt in (0, 1, 2)] == [0.5, 1, 2]
    assert backoff_s(3, lambda: 0.0) == 2
    assert backoff_s(1000, lambda: 1.0) == 30
