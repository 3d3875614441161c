"""The watch over the event loop sees what a test leaves behind."""

import asyncio

import pytest

from tests.parts import loops


async def test_a_task_left_behind_fails_the_test() -> None:
    """A task that still waits is named and called off."""
    with pytest.raises(AssertionError, match=r"left tasks behind.*forgotten"):
        async with loops.watched():
            task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
    assert task.cancelled()


async def test_an_error_in_a_callback_fails_the_test() -> None:
    """An exception that nobody awaits is not lost in the log."""

    def fail() -> None:
        raise ValueError("nobody hears me")

    async def test() -> None:
        async with loops.watched() as loop:
            loop.call_soon(fail)

    with pytest.raises(AssertionError, match="nobody hears me"):
        await test()


async def test_a_clean_end_passes() -> None:
    """Finished tasks are nobody's concern."""
    async with loops.watched():
        await asyncio.create_task(asyncio.sleep(0))
