"""A function of the user's as an objective: what it is passed, what it may return, how it reaches workers."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import operator
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from po_nas.core.fidelities import Fidelities
from po_nas.core.goals import SIGNAL
from po_nas.core.objective import Metric, Objective, ObjectiveWrapper, Outcome
from po_nas.errors import ConfigError, short
from po_nas.proxy_scores.goals import unit_suffix
from po_nas.registry import load_plugin
from po_nas.runtime.trial_errors import ObjectiveValueError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.declared.space import DeclaredSpace

__all__ = [
    "DEFAULT_METRIC",
    "FunctionObjective",
    "Report",
    "check_importable",
    "outcome_of_value",
]

DEFAULT_METRIC = Metric("validation", "")
"""What is optimised where nothing else is said: the number that a function returns, higher = better."""

_PASSED = ("seed", "fidelity", "checkpoint", "report")


class FunctionObjective(Objective):
    """What a function returns for a configuration.

    The function gets the configuration, a dict of its own (`Space.config_of`), as its first argument. It is passed by
    name what it takes of:

    * ``seed`` (int): of the trial, a function of the seed of the search;
    * ``fidelity``: which of `fidelities` is asked for, as it is declared there; None, for all of it, where none are;
    * ``checkpoint`` (Path or None): a folder of the trial's own, where a training that was cut short finds what it
      left; None outside of a run. With `fidelities` it belongs to the architecture, and a training at a higher one
      finds there what the lower one left, to go on from;
    * ``report`` (`Report`): tells the value after an epoch: ``report(0.91)``, or ``report(0.91, epoch=3)``.

    It returns a number (of Python, numpy, or a tensor of no dimensions), a dict of numbers with `metric` among them,
    or an `Outcome`. Anything else is a failed trial, and so is what it raises. The cost of a trial is the time that it
    took, in seconds.

    Args:
        space: Where configurations are from.
        function: The function.
        metric: What is optimised; the name matters where a dict is returned.
        name: As printed; default: the names of the space and of the function.
        folder: Where trials keep checkpoints and curves; None: nowhere.
        fidelities: What the function can be asked for: ascending values, the last is a full evaluation; or a mapping of
            the fields of `Fidelities`. Unless it says otherwise, a training goes on from a lower fidelity if the
            function takes a ``checkpoint``.

    Raises:
        ConfigError: For a function that takes no configuration, or asks for something that nobody passes, and for
            fidelities out of order, or of a function that is not told which.
    """

    def __init__(
        self,
        space: Space,
        function: Callable[..., Any],
        *,
        metric: Metric = DEFAULT_METRIC,
        name: str | None = None,
        folder: Path | None = None,
        fidelities: Fidelities | Mapping[str, Any] | Sequence[float] = (),
    ) -> None:
        self._space, self._function, self._metric, self._folder = space, function, metric, folder
        self._called = _called(function)
        self._name = name or f"{space.name}/{self._called}"
        self._taken = _taken(function, self._called)
        self._fidelities = self._declared(fidelities)

    more_metrics = True

    def __reduce__(self) -> tuple[Any, ...]:
        rest = {"metric": self._metric, "name": self._name, "folder": self._folder, "fidelities": self._fidelities}
        return _restored, (self._space, *_address(self._function), rest)

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def space(self) -> Space:
        """The space."""
        return self._space

    @property
    def metric(self) -> Metric:
        """The metric."""
        return self._metric

    @property
    def distinct(self) -> int | None:
        """The size of a declared space, where it is known; in other spaces architectures may be isomorphic."""
        return self._space.size if isinstance(self._space, DeclaredSpace) else None

    def _declared(self, given: Fidelities | Mapping[str, Any] | Sequence[float]) -> Fidelities:
        found = Fidelities.of(given)
        if not found.values:
            return found
        if "fidelity" not in self._taken:
            remedy = f"are declared, but {self._called} takes no fidelity; add it: {self._called}(config, *, fidelity)"
            raise ConfigError("fidelities", list(found.values), remedy)
        resumes = found.resumes if isinstance(given, Fidelities) or "resumes" in given else "checkpoint" in self._taken
        return replace(found, resumes=resumes and self._folder is not None)

    @property
    def fidelities(self) -> Fidelities:
        """Those that were declared."""
        return self._fidelities

    def goes_on(self, architecture: Architecture, *, seed: int, fidelity: float) -> bool:
        """Whether there is anything in the checkpoint folder."""
        place = self._place(architecture, seed, fidelity)
        folder = None if place is None else place / "checkpoint"
        return folder is not None and folder.is_dir() and any(folder.iterdir())

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Call the function.

        Metrics besides those that it returns: ``validation_epoch_K`` for every epoch K that was reported.
        """
        fidelity = self._fidelities.checked(fidelity)
        place = self._place(architecture, seed, fidelity)
        curve = None if place is None or "report" not in self._taken else place / "curve.jsonl"
        report = Report(self._called, curve, goes_on="checkpoint" in self._taken)
        asked = self._fidelities.full if fidelity is None else fidelity
        offered: dict[str, Any] = {"seed": seed, "fidelity": asked, "checkpoint": None, "report": report}
        if place is not None and "checkpoint" in self._taken:
            offered["checkpoint"] = place / "checkpoint"
            (place / "checkpoint").mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        value = self._function(self._space.config_of(architecture), **{name: offered[name] for name in self._taken})
        seconds = time.perf_counter() - started
        return outcome_of_value(value, self._metric, self._called, cost_s=seconds, curve=report.values)

    def _place(self, architecture: Architecture, seed: int, fidelity: float | None) -> Path | None:
        if self._folder is None:
            return None
        # What goes on from a lower fidelity is in one place with it.
        told = None if self._fidelities.resumes else fidelity
        said = json.dumps([self._space.to_string(architecture), seed, told])
        return self._folder / hashlib.sha256(said.encode()).hexdigest()[:16]

    def protocol(self) -> Mapping[str, Any]:
        """The function."""
        return {"dataset": "the caller's", "source": f"the function {self._called}", "runs": "1 call"}

    @property
    def function(self) -> Callable[..., Any]:
        """The function."""
        return self._function


def check_importable(objective: Objective) -> None:
    """Raise `ConfigError` unless another process can import the function of an objective, if it has one."""
    while isinstance(objective, ObjectiveWrapper):
        objective = objective.objective
    if not isinstance(objective, FunctionObjective):
        return
    function: Any = objective.function
    named = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    remedy = "which worker processes cannot import; define it in a file, at the top level, and import it from there"
    if "<" in named.__qualname__:
        raise ConfigError("objective", objective.name, f"is a lambda, or defined in a function, {remedy}")
    if named.__module__ == "__main__" and getattr(sys.modules["__main__"], "__file__", None) is None:
        raise ConfigError("objective", objective.name, f"is defined in a notebook or an interpreter, {remedy}")


class Report:
    """Takes the values of a trial epoch by epoch; they are its learning curve.

    Attributes:
        values: By epoch, counted from 1; those that an earlier attempt at the same trial reported included.
    """

    def __init__(self, source: str, path: Path | None = None, *, goes_on: bool = False) -> None:
        self._source, self._path, self._goes_on = source, path, goes_on
        self.values: dict[int, float] = {} if path is None else _read_curve(path)
        self._next = 1

    def __call__(self, value: Any, epoch: int | None = None) -> None:
        """Report the value after an epoch; default: the epoch after the last one that was reported.

        The file ``curve.jsonl`` of the trial has it at once. Raises `ObjectiveValueError` for what is no number, and
        for no epoch where the function takes a checkpoint: where a training goes on, nobody else knows in which.
        """
        if epoch is None and self._goes_on:
            remedy = "say the epoch, report(value, epoch=…): with a checkpoint a training may go on from a later one"
            raise ObjectiveValueError(self._source, "a report without its epoch", remedy)
        at = self._next if epoch is None else operator.index(epoch)
        number = _number(value, self._source)
        self.values[at] = number
        self._next = at + 1
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="ascii") as file:
                file.write(json.dumps({"epoch": at, "value": number}) + "\n")


def _read_curve(path: Path) -> dict[int, float]:
    """The values in a file; a line that was torn by a crash is left out."""
    found: dict[int, float] = {}
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return found
    for line in lines:
        try:
            entry = json.loads(line)
            found[int(entry["epoch"])] = float(entry["value"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


# -- what came ---------------------------------------------------------------------------------------------------------


def outcome_of_value(
    value: Any, metric: Metric, source: str, *, cost_s: float = 0.0, curve: Mapping[int, float] | None = None
) -> Outcome:
    """The outcome of an evaluation that gave a number, a dict of numbers, or an outcome.

    Args:
        value: What came.
        metric: Which number of a dict is the search signal.
        source: Who gave it, for messages.
        cost_s: What it cost in seconds; an `Outcome` knows itself.
        curve: Values by epoch, which become further metrics.

    Raises `ObjectiveValueError` for anything else.
    """
    extra = {f"validation_epoch_{epoch}": value for epoch, value in sorted((curve or {}).items())}
    if isinstance(value, Outcome):
        if value.failure is not None:
            return Outcome.failed(value.failure, _number(value.cost_s, source, " as cost_s"))
        # Once more through the constructor, which knows what a journal can hold.
        numbers = {name: _number(item, source, f" as {name!r}") for name, item in value.metrics.items()}
        cost = _number(value.cost_s, source, " as cost_s")
        return Outcome.ok(cost_s=cost, **{"validation": math.nan, **extra, **numbers})
    if not isinstance(value, Mapping):
        return Outcome.ok(_number(value, source), cost_s, **extra)
    numbers = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise ObjectiveValueError(source, f"a dict with the key {short(name)}", "its keys must be names of metrics")
        numbers[name] = _number(item, source, f" as {name!r}")
    if metric.name not in numbers:
        names = ", ".join(numbers) or "nothing"
        raise ObjectiveValueError(source, f"a dict of {names}", f"without {metric.name!r}, which is optimised")
    signal = numbers.pop(metric.name)
    for name in ("validation", "cost_s", "cls"):
        if name in numbers:
            raise ObjectiveValueError(source, f"a dict with {name!r}", "rename it, the name is taken")
    return Outcome.ok(signal, cost_s, **{**extra, **numbers})


def outcome_told(
    objective: Objective, architecture: Architecture, value: Any, cost_s: float, source: str = "the caller"
) -> Outcome:
    """The outcome of an evaluation that somebody else has made, with all that the objective's goals are about.

    A metric that the value lacks is an `ObjectiveValueError`, as is a cost that is none. One that is NaN, or that is
    known without an evaluation and cannot be computed, makes a failure.
    """
    seconds = _number(value.cost_s if isinstance(value, Outcome) else cost_s, source, " as cost_s")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ObjectiveValueError(source, f"{seconds} as cost_s", "expected seconds, 0 or more")
    metrics = value.metrics if isinstance(value, Outcome) else value
    names: set[str] = {SIGNAL}
    if isinstance(metrics, Mapping):
        # What has the unit at its end, as in the limits of a search, is the metric.
        with_unit = {f"{m.name}_{unit_suffix(m.unit)}": m.name for m in objective.metrics.values() if m.unit}
        renamed = {with_unit.get(name, name): number for name, number in metrics.items()}
        names |= renamed.keys()
        value = Outcome(renamed, value.cost_s, value.failure) if isinstance(value, Outcome) else renamed
    told = outcome_of_value(value, objective.metric, source, cost_s=seconds)
    lacking = [name for name in objective.goals.measured_names if name not in names]
    if told.failure is None and lacking:
        given = ", ".join(sorted(map(str, value))) if isinstance(value, Mapping) else objective.metric.name
        remedy = f"it told {given}; tell all that the session is about"
        raise ObjectiveValueError(source, f"no {', '.join(lacking)}", remedy)
    return objective.completed(architecture, told)


def _number(value: Any, source: str, where: str = "") -> float:
    """The number that a value is."""
    item = value
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        item = value.item()
    if isinstance(item, bool) or not isinstance(item, Real):
        raise ObjectiveValueError(source, _words(value) + where)
    try:
        return float(item)
    except OverflowError:
        remedy = "expected a number that a float can hold"
        raise ObjectiveValueError(source, _words(value) + where, remedy) from None


def _words(value: Any) -> str:
    """What a value is, on one line."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if value is None:
        return "None"
    if isinstance(shape, tuple):
        return f"a {kind} of shape {tuple(shape)}"
    if isinstance(value, (tuple, list, set, Mapping)):
        return f"a {kind} of {len(value)}"
    return f"a {kind}, {short(value)}"


# -- the function ------------------------------------------------------------------------------------------------------


def _called(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _taken(function: Callable[..., Any], called: str) -> tuple[str, ...]:
    """Which of the things that can be passed a function takes."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in (*by_place, inspect.Parameter.VAR_POSITIONAL):
        raise ConfigError("objective", called, "takes no configuration; its first argument is one, a dict")
    rest = parameters[1:] if parameters[0].kind in by_place else parameters
    for p in rest:
        needed = p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if needed and (p.name not in _PASSED or p.kind is p.POSITIONAL_ONLY):
            known = ", ".join(_PASSED)
            remedy = f"asks for {p.name}; the first argument is the configuration, a dict; by name there is {known}"
            raise ConfigError("objective", called, remedy)
    if any(p.kind is p.VAR_KEYWORD for p in rest):
        return _PASSED
    named = {p.name for p in rest if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return tuple(name for name in _PASSED if name in named)


def _address(function: Callable[..., Any]) -> tuple[str | None, object]:
    """A file and a name in it, for functions of modules that are a file of their own; else None and the function.

    A worker on another machine does not look for modules where this process does.
    """
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    place, file = getattr(function, "__qualname__", "<>"), getattr(module, "__file__", None)
    if module is None or file is None or "." in module.__name__ or module.__name__ == "__main__" or "<" in place:
        return None, function
    path = Path(file).resolve()
    lone = path.suffix == ".py" and path.name != "__init__.py" and "site-packages" not in path.parts
    return (str(path), place) if lone else (None, function)


def _restored(space: Space, file: str | None, function: Any, rest: Mapping[str, Any]) -> FunctionObjective:
    found = function if file is None else operator.attrgetter(function)(load_plugin(file))
    return FunctionObjective(space, found, **rest)
