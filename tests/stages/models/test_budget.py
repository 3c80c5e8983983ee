"""The money limit of processes that spend together."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from schemas.storage import Storage
from stages.models.budget import Budget
from stages.models.chat import ChatReply, ChatRequest, Message, Prices
from stages.models.response_log import ResponseLog

DOLLAR = Prices(input_per_million=0, output_per_million=1e6)
"""A dollar a token of the reply."""

REQUEST = ChatRequest((Message(role="user", content="hello"),), {}, "x")


def budget(folder: Path | str, max_usd: float, actors: int = 1) -> tuple[Budget, ResponseLog]:
    log = ResponseLog(Storage(str(folder)))
    return Budget(DOLLAR, max_usd, 2, log, actors), log


def spend(purse: Budget, log: ResponseLog, key: str, tokens: int = 1) -> bool:
    """Ask once: reserve the worst, log the reply, settle."""
    worst = purse.worst(REQUEST)
    assert worst == 2
    if not purse.take(worst):
        return False
    reply = ChatReply("x", "stop", 0, tokens)
    log.append(key, reply, DOLLAR.usd(0, tokens))
    purse.book(reply)
    purse.release(worst)
    return True


def test_limit_is_reached_and_never_passed(tmp_path: Path) -> None:
    """The highest price of the next request must fit; what requests really cost is what counts."""
    purse, log = budget(tmp_path, 10)
    assert sum(spend(purse, log, str(number)) for number in range(50)) == 9
    assert "max_usd = 10 is used up: 9.0000 USD are spent" in str(purse.exhausted())


def test_requests_in_flight_are_reserved(tmp_path: Path) -> None:
    """Five requests of at most 2 dollars fit into 10; another only when one has come back cheaper, or failed."""
    purse, _ = budget(tmp_path, 10)
    assert [purse.take(2.0) for _ in range(6)] == [True] * 5 + [False]
    purse.book(ChatReply("x", "stop", 0, 2))
    purse.release(2.0)
    assert not purse.take(2.0)
    purse.release(2.0)
    assert purse.take(2.0)
    assert not purse.take(2.0)


def test_later_process_knows_what_was_spent(tmp_path: Path) -> None:
    """An allowance that a process did not use up is free again once it is gone; what it spent is not."""
    purse, log = budget(tmp_path, 10)
    spend(purse, log, "a")
    log.close()
    later, later_log = budget(tmp_path, 10)
    assert sum(spend(later, later_log, str(number)) for number in range(50)) == 8


def test_processes_spend_together(tmp_path: Path) -> None:
    """Three that spend at once stay within the limit, and leave little of it."""
    purses = [budget(tmp_path, 200, actors=3) for _ in range(3)]
    spent = [0, 0, 0]

    def run(index: int) -> None:
        for number in range(300):
            spent[index] += spend(*purses[index], f"{index} {number}")

    threads = [threading.Thread(target=run, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 180 < sum(spent) <= 200


def test_object_store_gives_each_its_share(tmp_path: Path) -> None:
    """Where nothing can be locked, each of two processes has half of what is left."""
    url = f"memory://{tmp_path.name}/responses"
    purse, log = budget(url, 20, actors=2)
    assert sum(spend(purse, log, str(number)) for number in range(50)) == 9
    log.commit()
    other, other_log = budget(url, 20, actors=1)
    assert sum(spend(other, other_log, f"b{number}") for number in range(50)) == 10


def test_what_may_still_be_charged_is_kept_back(tmp_path: Path) -> None:
    """Money for requests of a process that is gone is not spent a second time."""
    purse, _ = budget(tmp_path, 10)
    purse.outside = 7.0
    assert [purse.take(2.0), purse.take(2.0)] == [True, False]
    purse.outside = 0.0
    assert purse.take(2.0)


@pytest.mark.parametrize("max_usd", [0, 1.99])
def test_limit_below_one_request_sends_none(tmp_path: Path, max_usd: float) -> None:
    """The message says what the next request may cost."""
    purse, log = budget(tmp_path, max_usd)
    assert not spend(purse, log, "a")
    assert "may cost 2.0000" in str(purse.exhausted())
