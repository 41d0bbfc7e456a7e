"""A program with an asyncio loop of its own, and pages that look into it.

    python examples/asyncio_clock.py

``http://127.0.0.1:8008/`` says how often the clock has ticked, and /faster and /slower change how
fast it does. What the loop works with is touched on its thread alone, by ``main_thread=True``: so
no lock is needed. Ctrl+C ends it.
"""

import asyncio

import hwebserver


class Clock:
    def __init__(self):
        self.ticks = 0
        self.seconds = 1.0

    async def run(self):
        while True:
            await asyncio.sleep(self.seconds)
            self.ticks += 1


clock = Clock()


@hwebserver.urlHandler("/", methods=["GET"], main_thread=True)
def index(request):
    return {"ticks": clock.ticks, "seconds": clock.seconds}


@hwebserver.urlHandler("/faster", methods=["POST"], main_thread=True)
def faster(request):
    clock.seconds /= 2
    return index(request)


@hwebserver.urlHandler("/slower", methods=["POST"], main_thread=True)
def slower(request):
    clock.seconds *= 2
    return index(request)


async def main():
    hwebserver.run(in_background=True)  # It sees that this thread runs a loop.
    await clock.run()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
