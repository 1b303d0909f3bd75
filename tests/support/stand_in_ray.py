"""As much of Ray as senders use, in the process of the test: actors are objects of its
loop, and die when they are told to.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import pytest

from claudebatch.clients.senders import ray_links
from tests.support.virtual import in_no_thread


class RayError(Exception):
    pass


class ActorDiedError(RayError):
    pass


class _Reference:
    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def future(self) -> Future[Any]:
        return self._future


class _Method:
    def __init__(self, actor: StandInActor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *values: Any) -> _Reference:
        return self._actor.call(self._name, values)


class StandInActor:
    """A handle of an actor."""

    def __init__(self, made: Any, host: str) -> None:
        self._made = made(self._left)
        self.host = host
        self._calls: set[asyncio.Task[Any]] = set()
        self._dead = False

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)

    def call(self, name: str, values: tuple[Any, ...]) -> _Reference:
        future: Future[Any] = Future()
        if self._dead:
            future.set_exception(ActorDiedError())
            return _Reference(future)
        task = asyncio.ensure_future(getattr(self._made, name)(*values))
        self._calls.add(task)
        task.add_done_callback(lambda done: self._over(done, future))
        return _Reference(future)

    def _over(self, task: asyncio.Task[Any], future: Future[Any]) -> None:
        self._calls.discard(task)
        if not future.set_running_or_notify_cancel():
            return
        if task.cancelled():
            future.set_exception(ActorDiedError())
        else:
            future.set_result(task.result())

    def die(self) -> None:
        self._dead = True
        life = self._made._life
        if life is not None:
            life.cancel()
        for call in tuple(self._calls):
            call.cancel()

    def _left(self, code: int) -> None:
        self.die()


class StandInRay(ModuleType):
    """The package; `hosts` are the ids of its nodes. While it `hangs` no call ends by
    itself.
    """

    def __init__(self, hosts: list[str], fault: Exception | None = None) -> None:
        super().__init__("ray")
        self.hosts = hosts
        self.fault = fault
        self.hangs = False
        self.actors: list[StandInActor] = []
        self.exceptions = ModuleType("ray.exceptions")
        self.exceptions.RayError = RayError
        strategies = ModuleType("ray.util.scheduling_strategies")
        strategies.NodeAffinitySchedulingStrategy = lambda node_id, soft: node_id
        self.util = ModuleType("ray.util")
        self.util.scheduling_strategies = strategies
        private = ModuleType("ray._private")
        private.worker = ModuleType("ray._private.worker")
        self.__path__ = []
        self.modules = {
            "ray": self,
            "ray.util": self.util,
            "ray.util.scheduling_strategies": strategies,
            "ray._private": private,
            "ray._private.worker": private.worker,
        }

    async def in_time(self, work: Callable[[], Any], seconds: float) -> Any:
        """In no thread: in virtual time timers do not wait for one."""
        if self.hangs:
            await asyncio.sleep(seconds)
            raise TimeoutError
        return work()

    def init(self, **_: Any) -> None:
        if self.fault is not None:
            raise self.fault

    def nodes(self) -> list[dict[str, Any]]:
        if self.fault is not None:
            raise self.fault
        return [
            {"NodeID": host, "Alive": True, "Resources": {"CPU": 2.0}} for host in self.hosts
        ] + [
            {"NodeID": "head", "Alive": True, "Resources": {}},
            {"NodeID": "gone", "Alive": False, "Resources": {"CPU": 2.0}},
        ]

    def remote(self, made: Any) -> Any:
        ray = self

        class Options:
            def options(self, *, scheduling_strategy: str, **_: Any) -> Any:
                self.host = scheduling_strategy
                return self

            def remote(self) -> StandInActor:
                ray.actors.append(StandInActor(made, self.host))
                return ray.actors[-1]

        return Options()

    def kill(self, actor: StandInActor) -> None:
        # From a thread, as the real one may be called.
        loop = next(iter(actor._calls), None)
        if loop is not None:
            loop.get_loop().call_soon_threadsafe(actor.die)
        actor._dead = True

    def shutdown(self) -> None:
        pass


def stand_in(monkeypatch: pytest.MonkeyPatch, *hosts: str, fault: Any = None) -> StandInRay:
    """Put it in Ray's place."""
    ray = StandInRay(list(hosts), fault)
    monkeypatch.setattr(asyncio, "to_thread", in_no_thread)
    monkeypatch.setattr(ray_links, "in_time", ray.in_time)
    for name, module in ray.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return ray
