"""Visits every world that is reachable with so many disturbances, and asks each whether a promise is broken.

Worlds are visited in layers: those that need no disturbance, one, two and so on; within a layer breadth first. What is
free is never counted, so a layer is closed: it has all that can come of so many disturbances, however long it takes. A
world is kept with the one that it was first reached from, so a story has as few disturbances as possible.

Arrival (promise 7): from every world that was visited, a world that answers brings the node to where it is wanted. That
is asked of the graph of free moves: every world must have a free way to one that has arrived. As every free move that
stays possible happens sooner or later, all fair ways then end there; and no free move leads away from there again.
"""

from __future__ import annotations

import gc
import itertools
import time
from array import array
from collections.abc import Callable
from typing import NamedTuple

from tests.model import promises
from tests.model.heart import Heart
from tests.model.surroundings import Move, Surroundings
from tests.model.world import World


class Layer(NamedTuple):
    """What one more disturbance brought: new worlds, transitions looked at, the longest way in a layer, seconds."""

    disturbances: int
    worlds: int
    transitions: int
    depth: int
    seconds: float


class Violation(NamedTuple):
    """A broken promise and the moves that lead to it from a first world."""

    promise: str
    first: World
    moves: tuple[Move, ...]


class Explored(NamedTuple):
    """What was found."""

    layers: tuple[Layer, ...]
    heart: Heart
    violations: tuple[Violation, ...]

    @property
    def worlds(self) -> int:
        """How many worlds were visited."""
        return sum(layer.worlds for layer in self.layers)

    @property
    def transitions(self) -> int:
        """How many transitions were looked at."""
        return sum(layer.transitions for layer in self.layers)


Progress = Callable[[Layer], None]


class Explorer:
    """One exploration; a thorough one goes on after a broken promise and finds one story for each."""

    def __init__(
        self,
        first: Callable[[Heart], list[World]],
        progress: Progress = lambda _: None,
        *,
        thorough: bool = False,
    ) -> None:
        self.heart = Heart(promises.step, promises.state)
        self._surroundings = Surroundings(self.heart)
        self._watcher = promises.Watcher(self.heart)
        self._progress = progress
        self._thorough = thorough
        self._broken: dict[str, Violation] = {}
        self._later: dict[int, dict[World, int]] = {0: dict.fromkeys(first(self.heart), -1)}
        self._numbers: dict[World, int] = {}
        self._worlds: list[World] = []
        self._parents = array("i")
        self._free_from = array("i")
        self._free_to = array("i")

    def explore(self, bound: int) -> Explored:
        """Visits everything that at most `bound` disturbances bring about. Without a collector: nothing here dies."""
        collects = gc.isenabled()
        gc.disable()
        try:
            return self._explore(bound)
        finally:
            if collects:
                gc.enable()

    def _explore(self, bound: int) -> Explored:
        layers: list[Layer] = []
        for disturbances in range(bound + 1):
            layer = self._layer(disturbances, bound - disturbances)
            layers.append(layer)
            self._progress(layer)
            if self._broken and not self._thorough:
                break
        if not self._broken or self._thorough:
            self._arrive()
        return Explored(tuple(layers), self.heart, tuple(self._broken.values()))

    def _layer(self, disturbances: int, most: int) -> Layer:
        start, transitions, depth = time.perf_counter(), 0, 0
        before = len(self._worlds)
        begun = self._later.pop(disturbances, {})
        front = [self._new(world, parent) for world, parent in begun.items() if world not in self._numbers]
        while front and (self._thorough or not self._broken):
            depth += 1
            following: list[int] = []
            for number in front:
                for move in self._surroundings.moves(self._worlds[number], most):
                    transitions += 1
                    self._note(number, move, disturbances, following)
            front = following
        return Layer(disturbances, len(self._worlds) - before, transitions, depth, time.perf_counter() - start)

    def _note(self, number: int, move: Move, disturbances: int, following: list[int]) -> None:
        """Takes down what `move` leads to from world `number`; new worlds of this layer go to `following`."""
        after = move.world
        known = self._numbers.get(after)
        broken = move.broken or (self._watcher.world(after) if known is None else None)
        if broken is not None:
            if broken not in self._broken:
                self._broken[broken] = self._violation(broken, number, move)
        elif move.cost:
            if known is None:
                self._later.setdefault(disturbances + move.cost, {}).setdefault(after, number)
        else:
            if known is None:
                known = self._new(after, number)
                following.append(known)
            if known != number:
                self._free_from.append(number)
                self._free_to.append(known)

    def _new(self, world: World, parent: int) -> int:
        number = self._numbers[world] = len(self._worlds)
        self._worlds.append(world)
        self._parents.append(parent)
        return number

    def _violation(self, promise: str, number: int, last: Move | None) -> Violation:
        way = [number]
        while self._parents[way[-1]] >= 0:
            way.append(self._parents[way[-1]])
        way.reverse()
        moves: list[Move] = []
        for before, after in itertools.pairwise(way):
            world = self._worlds[after]
            moves.append(
                min(
                    (move for move in self._surroundings.moves(self._worlds[before], 9) if move.world == world),
                    key=lambda move: move.cost,
                )
            )
        return Violation(promise, self._worlds[way[0]], (*moves, *([last] if last else [])))

    def _arrive(self) -> None:
        """Looks for a world that a world that answers does not bring to its end, and for one that leaves it again."""
        count = len(self._worlds)
        good = bytearray(promises.arrived(self.heart, world) for world in self._worlds)
        left = next((e for s, e in zip(self._free_from, self._free_to, strict=True) if good[s] and not good[e]), -1)
        if left >= 0:
            words = "7: the node leaves where it is wanted though nobody asked"
            self._broken[words] = self._violation(words, left, None)
        heads, following = array("i", [-1]) * count, array("i", [-1]) * len(self._free_to)
        for edge, end in enumerate(self._free_to):
            following[edge] = heads[end]
            heads[end] = edge
        reaching = [number for number in range(count) if good[number]]
        while reaching:
            edge = heads[reaching.pop()]
            while edge >= 0:
                start = self._free_from[edge]
                if not good[start]:
                    good[start] = 1
                    reaching.append(start)
                edge = following[edge]
        lost = good.find(0)
        if lost >= 0:
            words = "7: the node does not arrive"
            self._broken[words] = self._violation(words, lost, None)
