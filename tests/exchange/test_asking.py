"""A look that has no answer for long is made a second time, beside: whichever comes first is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from enigma_exchange.account.asking import Asking
from enigma_exchange.account.blocks import Blocks
from enigma_exchange.port import Unclear
from enigma_simulation.loop import VirtualLoop

Answers = list[tuple[float, Any]]


def soonest(answers: Answers) -> tuple[Any, float, int]:
    """What `answers` (seconds, and the answer or an error, one for each look) come to, when, and how many looks were made."""
    loop = VirtualLoop()
    asked = 0

    def asking() -> Coroutine[Any, Any, Any]:
        nonlocal asked
        seconds, answer = answers[asked]
        asked += 1

        async def look() -> Any:
            await asyncio.sleep(seconds)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return look()

    async def course() -> Any:
        ask: Callable[[], Coroutine[Any, Any, Any]] = asking
        try:
            at = Asking(Blocks(), lambda: None)
            # somebody is there
            at.heard = at.now()
            return await at.soonest(ask, 1.0)
        except Unclear as unclear:
            return str(unclear)

    try:
        found = loop.run_until_complete(course())
        when = loop.time()
        left = asyncio.all_tasks(loop)
        loop.run_until_complete(asyncio.sleep(0))
        assert all(task.done() for task in left), "somebody still waits for an answer that is wanted no more"
        return found, when, asked
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([(0.2, "first")], ("first", 0.2, 1)),
        ([(5.0, "first"), (0.3, "second")], ("second", 1.3, 2)),
        ([(1.2, "first"), (5.0, "second")], ("first", 1.2, 2)),
        ([(1.1, Unclear("first")), (0.5, "second")], ("second", 1.5, 2)),
        ([(5.0, "first"), (0.5, Unclear("second")), (9.0, "third")], ("first", 5.0, 3)),
        ([(2.5, Unclear("first")), (1.9, Unclear("second"))], ("first", 2.9, 2)),
        ([(9.0, "first"), (9.0, "second"), (0.2, "third")], ("third", 3.2, 3)),
        ([(99.0, "first"), (99.0, "second"), (99.0, "third"), (0.2, "fourth")], ("fourth", 7.2, 4)),
        ([(0.2, Unclear("first"))], ("first", 0.2, 1)),
    ],
)
def test_the_first_answer_is_taken_and_an_error_only_where_there_is_no_other(
    answers: Answers, found: tuple[Any, float, int]
) -> None:
    what, when, asked = soonest(answers)
    assert (what, asked) == (found[0], found[2])
    assert when == pytest.approx(found[1])
