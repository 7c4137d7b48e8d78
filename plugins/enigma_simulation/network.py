"""What lies between an engine and the exchange: each message takes its time, a channel may be clogged, a socket may break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Literal

from enigma_core.chance import maybe
from enigma_sandbox.exchange import Push, Reply, Request

if TYPE_CHECKING:
    from enigma_simulation.world import World

Channel = Literal["orders", "data", "private", "public", "disk"]
CHANNELS: tuple[Channel, ...] = ("orders", "data", "private", "public", "disk")

Hear = Callable[[Push], None]


class Pipes:
    """The channels, which outlive an engine: what waits in a clogged one goes on once it is free, in any order."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._held: dict[str, list[Callable[[], None]]] = {}

    def clog(self, channel: Channel) -> None:
        self._held.setdefault(channel, [])

    def clogged(self, channel: Channel) -> bool:
        return channel in self._held

    def free(self, channel: Channel) -> None:
        """What was held up goes on, each a little later than the one before."""
        held = self._held.pop(channel, [])
        self._random.shuffle(held)
        loop = asyncio.get_running_loop()
        for number, go in enumerate(held):
            loop.call_later(0.002 * number, go)

    def pass_on(self, channel: Channel, go: Callable[[], None]) -> None:
        """Do `go`, now or when the channel is free."""
        waiting = self._held.get(channel)
        if waiting is None:
            go()
        else:
            waiting.append(go)


class Network:
    """One engine's way to the exchange. Once `dead` nothing more leaves or arrives; what is under way gets there."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self.dead = False
        self.closed_until = 0.0
        """Until then the exchange has said that nothing more will be answered, seconds."""
        self._ears: list[tuple[Hear, asyncio.Event]] = []

    def there(self) -> int:
        """The exchange's clock as a client reckons it, ms."""
        return self._world.there()

    def wait_for(self, seconds: float) -> None:
        """The exchange has said how long it answers nothing."""
        self.closed_until = max(self.closed_until, self._world.loop.time() + seconds)

    def headers(self) -> Mapping[str, str]:
        return {"kc-api-timestamp": str(self._world.there())}

    def _latency(self) -> float:
        # most are quick, a few are not
        return self._random.uniform(0.004, 0.03) * (8.0 if self._random.random() < 0.03 else 1.0)

    async def carry(self, request: Request, channel: Channel) -> Reply:
        """Send a request; its answer, if one ever comes."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        if self.dead:
            return await answer
        maybe("wire: a request is about to leave")
        pipes, world = self._world.pipes, self._world
        if request.method == "POST":
            world.witness.leaves(request.body, world.wall())

        def arrive() -> None:
            reply = world.ask_exchange(request)
            if not reply.lost:
                loop.call_later(self._latency() + reply.delay / 1000, back, reply)

        def back(reply: Reply) -> None:
            if not answer.done() and not self.dead:
                answer.set_result(reply)

        loop.call_later(self._latency(), pipes.pass_on, channel, arrive)
        maybe("wire: a request has left")
        reply = await answer
        maybe("wire: an answer has come")
        return reply

    async def hear(self, see: Hear) -> None:
        """Be told of private pushes until the socket breaks."""
        if self.dead:
            await asyncio.Event().wait()
        await asyncio.sleep(0.05 + self._random.random() * 0.2)
        broken = asyncio.Event()
        ear = (see, broken)
        self._ears.append(ear)
        try:
            await broken.wait()
        finally:
            self._ears.remove(ear)
        await asyncio.sleep(self._random.random() * 2.0)

    def push(self, push: Push) -> None:
        """Something private was pushed."""
        if push.kind != "message" or self.dead:
            return
        loop = asyncio.get_running_loop()
        for see, broken in self._ears:
            loop.call_later(self._latency(), self._world.pipes.pass_on, "private", lambda s=see, b=broken: self._tell(s, b, push))

    def _tell(self, see: Hear, broken: asyncio.Event, push: Push) -> None:
        if self.dead or broken.is_set():
            return
        if maybe("wire: the private socket breaks"):
            self.hang_up()
            return
        see(push)

    def hang_up(self) -> None:
        """The private socket breaks."""
        for _, broken in self._ears:
            broken.set()
