"""A process that writes until it is killed: ``python -m tests.apiserver.looping FILE``.

It tells each write that the store acknowledged, one line ``name value revision`` each, before it
goes on; several writers share transactions.
"""

import asyncio
import itertools
import pathlib
import sys

from ocisource.apiserver.history import records, store

WRITERS = 8
NAMES = 5  # objects of each writer


async def write(held: store.Store, writer: int) -> None:
    """Create, change and delete objects, for ever."""
    for step in itertools.count():
        key = records.Key("things", f"w{writer}", f"n{step % NAMES}")
        async with held.hold(key):
            before = held.get(key)
            if before is not None and step % 7 == 0:
                record = await held.remove(key, before.decode(), before=before)
                value = -1
            else:
                obj = {"metadata": {"name": key.name}, "value": step}
                record = await held.put(key, obj, before=before)
                value = step
        line = f"{key.namespace}/{key.name} {value} {record.revision}\n"
        sys.stdout.write(line)
        sys.stdout.flush()


async def main() -> None:
    """Write with all writers."""
    held = await store.Store.open(pathlib.Path(sys.argv[1]))
    compacting = asyncio.create_task(compact(held))
    await asyncio.gather(compacting, *(write(held, writer) for writer in range(WRITERS)))


async def compact(held: store.Store) -> None:
    """Forget all but the newest, again and again."""
    while True:
        await asyncio.sleep(0.01)
        await held.compact_to(max(held.revision - 20, 0))


if __name__ == "__main__":
    asyncio.run(main())
