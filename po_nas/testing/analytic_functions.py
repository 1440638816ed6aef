"""Functions of declared spaces whose optimum is known, to measure how well a method searches where there is no table.

    function = analytic_functions.get("mixed20", instance=3)
    po_nas.search(space=function.space, objective=function, method="gp_bo", budget=50, out="runs/mixed20")

Each is a family: the number of an instance decides where the optimum lies and what matters how much, so that a method
is not tuned to one of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from po_nas.core.proxy_source import ProxySource
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture
from po_nas.spaces.declared import Categorical, Choice, DeclaredSpace, Float, Int, Ordinal, declare

__all__ = ["AnalyticFunction", "FunctionProxies", "get", "names"]


class AnalyticFunction(ABC):
    """Minus the loss of a configuration; the optimum is 0, and nothing is above it.

    Attributes:
        space: Of the configurations.
        instance: Number of the instance.
        optimum: A configuration whose value is 0.
    """

    name: ClassVar[str]

    def __init__(self, instance: int = 0) -> None:
        self.instance = instance
        self.space: DeclaredSpace = declare(self.name, **self.choices())
        # A generator of its own for each function, or optima of one number would lie in the same places.
        rng = np.random.default_rng([instance, *self.name.encode()])
        self.optimum: dict[str, Any] = self.draw(rng)

    @classmethod
    @abstractmethod
    def choices(cls) -> dict[str, Choice]:
        """The choices by name."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw all that an instance consists of; the optimum."""

    @abstractmethod
    def loss(self, config: Mapping[str, Any]) -> float:
        """What is lost, 0 or more."""

    def __call__(self, config: Mapping[str, Any]) -> float:
        """Minus the loss."""
        return 0.0 - self.loss(config)

    @property
    def __name__(self) -> str:
        return self.name

    def away(self, name: str, value: Any, best: Any) -> float:
        """How far a value is from the best one: on the scale from 0 to 1, or 1 for another one without a scale."""
        choice = self.space.choices[name]
        here, there = choice.position(value), choice.position(best)
        assert here is not None
        assert there is not None
        return choice.unit(here) - choice.unit(there) if choice.numeric else float(here != there)


def _drawn(choice: Choice, rng: np.random.Generator) -> Any:
    """A value, away from the ends of a scale, where a search that likes ends would find it by accident."""
    return choice.value(choice.nearest(rng.uniform(0.1, 0.9)) if choice.numeric else int(rng.integers(choice.count)))


class _Mixed(AnalyticFunction):
    """Choices of all kinds; a few matter much, many little, neighbours interact, and categories move the optimum."""

    size: ClassVar[int]
    _kinds: ClassVar[tuple[Choice, ...]] = (
        Float(0.0, 1.0),
        Categorical(["a", "b", "c"]),
        Float(1e-4, 1.0, log=True),
        Ordinal([8, 16, 32, 64, 128]),
        Int(1, 9),
        Categorical([True, False]),
        Float(-1.0, 1.0),
        Int(4, 512, log=True),
        Categorical(["p", "q", "r", "s"]),
        Float(0.0, 0.5),
    )

    @classmethod
    def choices(cls) -> dict[str, Choice]:
        return {f"x{k}": cls._kinds[k % len(cls._kinds)] for k in range(cls.size)}

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        names = list(self.space.choices)
        self._weights = dict(zip(names, rng.permutation(np.geomspace(1.0, 0.02, self.size)), strict=True))
        self._pairs = [(names[i], names[j]) for i, j in rng.permutation(self.size).reshape(-1, 2)]
        # Every category moves the best place of one choice that lies on a scale, the best category by nothing.
        on_scale = [n for n in names if self.space.choices[n].numeric]
        self._moves = {
            n: (str(rng.choice(on_scale)), rng.uniform(-0.3, 0.3, choice.count))
            for n, choice in self.space.choices.items()
            if not choice.numeric
        }
        return {name: _drawn(choice, rng) for name, choice in self.space.choices.items()}

    def _distances(self, config: Mapping[str, Any]) -> dict[str, float]:
        away = {name: self.away(name, config[name], best) for name, best in self.optimum.items()}
        for name, (moved, steps) in self._moves.items():
            position = self.space.choices[name].position(config[name])
            if config[name] != self.optimum[name] and position is not None:
                away[moved] += float(steps[position])
        return away


class _Quadratic(_Mixed):
    """Σ w d² + Σ over pairs √(w w') (d + d')² / 2, d the distances from the best values."""

    def loss(self, config: Mapping[str, Any]) -> float:
        away = self._distances(config)
        alone = sum(weight * away[name] ** 2 for name, weight in self._weights.items())
        pairs = sum(math.sqrt(self._weights[a] * self._weights[b]) * (away[a] + away[b]) ** 2 for a, b in self._pairs)
        return float(alone + 0.5 * pairs)


class Mixed6(_Quadratic):
    """Six choices of all kinds; see `Mixed20`."""

    name = "mixed6"
    size = 6


class Mixed20(_Quadratic):
    """Twenty choices of all kinds: Σ w d² + Σ over pairs √(w w') (d + d')² / 2, d the distances from the best."""

    name = "mixed20"
    size = 20


class Mixed60(_Mixed):
    """Sixty choices of all kinds: Ackley's function, with ripples, of the weighted distances from the best values.

    Reference: Ackley, A Connectionist Machine for Genetic Hillclimbing, 1987.
    """

    name = "mixed60"
    size = 60

    def loss(self, config: Mapping[str, Any]) -> float:
        away, total = self._distances(config), sum(self._weights.values())
        far = sum(weight * away[name] ** 2 for name, weight in self._weights.items()) / total
        waves = sum(weight * math.cos(4 * math.pi * away[name]) for name, weight in self._weights.items()) / total
        return float(20.0 * (1.0 - math.exp(-math.sqrt(far))) + 0.5 * (1.0 - waves))


class Conditional(AnalyticFunction):
    """A network with stages and its training: of 20 choices, six exist under others alone, and seven are lists.

    Every layer loses by its operation and by what that operation brings with it, early layers more than late ones; too
    few or too many layers lose more. Which rate is best depends on the optimiser and on the depth.
    """

    name = "conditional"

    @classmethod
    def choices(cls) -> dict[str, Choice]:
        conv, attention, mixer = ({"op": value} for value in ("conv", "attention", "mixer"))
        return {
            "depth": Int(1, 5),
            "op": Categorical(["conv", "attention", "mixer"]).each("depth"),
            "kernel": Ordinal([1, 3, 5, 7], when=conv).each("depth"),
            "groups": Ordinal([1, 2, 4], when=conv).each("depth"),
            "heads": Ordinal([1, 2, 4, 8], when=attention).each("depth"),
            "window": Int(2, 16, when=attention).each("depth"),
            "expansion": Float(1.0, 6.0, when=mixer).each("depth"),
            "width": Int(16, 256, log=True),
            "act": Categorical(["relu", "gelu", "silu"]),
            "norm": Categorical(["batch", "layer", "none"]),
            "dropout": Float(0.0, 0.5),
            "optimizer": Categorical(["sgd", "adam", "lion"]),
            "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
            "nesterov": Categorical([True, False], when={"optimizer": "sgd"}),
            "beta2": Float(0.9, 0.9999, when={"optimizer": ["adam", "lion"]}),
            "lr": Float(1e-4, 1.0, log=True),
            "weight_decay": Float(1e-6, 1e-1, log=True),
            "schedule": Categorical(["cosine", "step", "constant"]),
            "warmup": Float(0.0, 0.3, when={"schedule": ["cosine", "constant"]}),
            "batch": Ordinal([16, 32, 64, 128, 256]),
        }

    _parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "conv": ("kernel", "groups"),
        "attention": ("heads", "window"),
        "mixer": ("expansion",),
    }

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        choices = self.space.choices
        lists = ("op", *(name for parts in self._parts.values() for name in parts))
        single = [name for name in choices if name not in lists]
        weights = rng.permutation(np.geomspace(1.0, 0.05, len(single)))
        self._weights = dict(zip(single, weights, strict=True)) | {"depth": 1.5}
        best = {name: _drawn(choices[name], rng) for name in single}
        best["depth"] = int(rng.integers(2, 6))
        # What is best in each layer under every operation, the best one among them.
        self._layers = [{name: _drawn(choices[name], rng) for name in lists} for _ in range(5)]
        self._operations = rng.uniform(0.3, 1.0, (5, 3))
        self._rates = dict(zip(("sgd", "adam", "lion"), rng.uniform(-0.25, 0.25, 3), strict=True))
        self._best = best
        config: dict[str, Any] = {}
        for name in choices:
            if name in lists:
                owner = next((op for op, parts in self._parts.items() if name in parts), None)
                layers = self._layers[: best["depth"]]
                values = [layer[name] if owner in (None, layer["op"]) else None for layer in layers]
                config[name] = values
            elif all(best[other] in values for other, values in choices[name].when.items()):
                config[name] = best[name]
        return self.space.config_of(self.space.architecture_of(_without_empty(config)))

    def loss(self, config: Mapping[str, Any]) -> float:
        depth = config["depth"]
        found = self._weights["depth"] * ((depth - self._best["depth"]) / 4) ** 2
        for name, weight in self._weights.items():
            if name in ("depth", "lr") or name not in config:
                continue
            found += weight * self.away(name, config[name], self._best[name]) ** 2
        rate = self.away("lr", config["lr"], self._best["lr"]) + 0.05 * (depth - self._best["depth"])
        if config["optimizer"] != self._best["optimizer"]:
            rate += self._rates[config["optimizer"]]
        found += 4.0 * rate**2
        operations = ("conv", "attention", "mixer")
        for number in range(depth):
            best, operation = self._layers[number], config["op"][number]
            inside = sum(self.away(name, config[name][number], best[name]) ** 2 for name in self._parts[operation])
            wrong = 0.0 if operation == best["op"] else self._operations[number][operations.index(operation)]
            found += 0.6**number * (wrong + inside)
        return float(found)


def _without_empty(config: dict[str, Any]) -> dict[str, Any]:
    """Without lists in which nothing exists."""
    return {
        name: value
        for name, value in config.items()
        if not isinstance(value, list) or any(one is not None for one in value)
    }


_FUNCTIONS: dict[str, type[AnalyticFunction]] = {kind.name: kind for kind in (Conditional, Mixed6, Mixed20, Mixed60)}
names: tuple[str, ...] = tuple(_FUNCTIONS)
"""Of the functions."""


def get(name: str, instance: int = 0) -> AnalyticFunction:
    """The instance of a function that has a number, from 0 up; `UnknownNameError` for a name that there is not."""
    if name not in _FUNCTIONS:
        raise UnknownNameError("analytic function", name, names)
    return _FUNCTIONS[name](instance)


class FunctionProxies(ProxySource):
    """Made-up proxy scores of the configurations of a function, for methods that need some.

    ``size`` is the mean place of the choices on their scales, as the number of parameters grows with widths and depths,
    whatever they are good for. ``partial`` is minus the loss plus noise, which is fixed for each configuration:
    `noise` standard deviations of the loss among random configurations.
    """

    _SAMPLED = 200

    def __init__(
        self, function: AnalyticFunction, noise: float = 1.5, names: Sequence[str] = ("size", "partial")
    ) -> None:
        self._function, self._names = function, tuple(names)
        rng = np.random.default_rng(0)
        space = function.space
        losses = [function.loss(space.config_of(space.sample(rng))) for _ in range(self._SAMPLED)]
        self._spread = noise * float(np.std(losses))
        self._known: dict[Architecture, dict[str, float]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def origin(self) -> str:
        return "made up"

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        for architecture in architectures:
            if architecture not in self._known:
                self._known[architecture] = self._scores(architecture)
        return {name: np.array([self._known[a][name] for a in architectures], dtype=np.float64) for name in names}

    def _scores(self, architecture: Architecture) -> dict[str, float]:
        config = self._function.space.config_of(architecture)
        noise = np.random.default_rng([abs(code) for code in architecture.code]).normal()
        partial = self._function(config) + self._spread * float(noise)
        return {"size": float(np.mean(list(self._places(config)))), "partial": partial}

    def _places(self, config: Mapping[str, Any]) -> Iterator[float]:
        for name, value in config.items():
            choice = self._function.space.choices[name]
            for one in value if isinstance(value, list) else [value]:
                position = None if one is None else choice.position(one)
                if position is not None and choice.numeric:
                    yield choice.unit(position)
