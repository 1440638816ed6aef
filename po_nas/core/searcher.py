"""The contract of a search method: ask for trials, tell their outcomes."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from po_nas.core.fidelities import ROUNDING, Fidelities
from po_nas.core.goals import Goals
from po_nas.core.objective import Outcome
from po_nas.core.proxy_source import ProxySource
from po_nas.core.settings import Settings
from po_nas.core.trial import Observation, SourceTask, Trial
from po_nas.errors import PoNasError, SearchExhaustedError, short
from po_nas.spaces.base import Architecture, Space
from po_nas.switches import default_switches

__all__ = ["STREAMS", "Domain", "MethodOptions", "Proposal", "Searcher", "SharedCache", "seed_sequence"]

T = TypeVar("T")


class SharedCache:
    """Results that searches of one benchmark share, found again by what they were made from.

    Whoever runs many searches hands one cache to all of them (`Domain.cache`); a search on its own has a fresh one.
    Nothing in it decides what a search proposes: it only saves computing the same again. It is not safe for threads.

    Args:
        kept: Results kept of each kind; the one that was not used for longest falls out first.
    """

    def __init__(self, kept: int = 4) -> None:
        self._kept = kept
        self._results: dict[str, OrderedDict[Hashable, tuple[tuple[object, ...], Any]]] = {}

    def get(self, kind: str, objects: tuple[object, ...], key: Hashable, make: Callable[[], T]) -> T:
        """The result of `make`, or of an earlier call with the same `kind`, `objects` and `key`.

        Args:
            kind: What the result is, such as ``"candidates"``; kinds do not push each other out.
            objects: What it is made from, compared by identity (a space, a proxy source); they need not be hashable.
            key: What else it depends on, compared by equality.
            make: Called without arguments when the result is not there.
        """
        results = self._results.setdefault(kind, OrderedDict())
        where = (tuple(map(id, objects)), key)
        if where not in results:
            # The objects are kept with the result, so that no other can have their ids.
            results[where] = objects, make()
            if len(results) > self._kept:
                results.popitem(last=False)
        results.move_to_end(where)
        found: T = results[where][1]
        return found


_REJECTIONS = 2_000

STREAMS = {
    "trial seed": 1,
    "round": 2,
    "candidates": 3,
    "ties": 4,
    "weights": 5,
    "acquisition": 6,
    "evolution": 7,
    "model": 8,
    "predictor": 9,
}
"""Random streams of a search by name. A number, once given, stays: it decides the trials of every seed."""


def seed_sequence(seed: int, stream: str, number: int = 0) -> np.random.SeedSequence:
    """The source of randomness of a search that has a name, independent of all others.

    Args:
        seed: The seed of the search.
        stream: One of `STREAMS`, or any other name: those of a plug-in are told apart by a hash.
        number: Of the trial, round or the like, for streams of which there are several.
    """
    key = STREAMS.get(stream)
    if key is None:
        # At least 2 ** 63, so that no name of a plug-in has the key of a built-in stream.
        key = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8]) | 1 << 63
    return np.random.SeedSequence(seed, spawn_key=(number, key))


class MethodOptions(Settings):
    """Options of a method; subclasses add fields with defaults and descriptions.

    Options are immutable. Unknown keys and values out of range are refused, before anything is spent.

    Examples:
        >>> from pydantic import Field
        >>> import po_nas
        >>> class Options(po_nas.MethodOptions):
        ...     initial: int = Field(5, ge=1, description="random architectures to start from")
        >>> Options(initial=10).initial
        10
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


Known: TypeAlias = Callable[[Sequence[Architecture], Sequence[str]], Mapping[str, NDArray[np.float64]]]


def _nothing_known(architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
    return {}


@dataclass(frozen=True)
class Domain:
    """What a searcher may know: the space, the de-duplication key, the direction, and what helps.

    Attributes:
        space: Where to search.
        identity: The key of an architecture; two with the same key are one evaluation.
        maximize: Whether higher search signals are better.
        max_evaluations: The whole budget where it is counted in evaluations, else None. For a method that uses
            fidelities, of full evaluations: others count by the share of their cost.
        distinct: Number of different keys in the space, None where it is not known.
        proxies: Proxy scores of architectures, None where there are none.
        source_tasks: Evaluations on other tasks, for transfer.
        cache: What searches share; one for all searches of a process, or a fresh one.
        goals: Objectives and limits, where there is more than the search signal.
        known: Values (n,) by name of metrics that are known without an evaluation, as `Objective.known`.
        fidelities: What evaluations may be asked for, as `Objective.fidelities`.
    """

    space: Space
    identity: Callable[[Architecture], Hashable]
    maximize: bool = True
    max_evaluations: int | None = None
    distinct: int | None = None
    proxies: ProxySource | None = None
    source_tasks: tuple[SourceTask, ...] = ()
    cache: SharedCache = field(default_factory=SharedCache, compare=False, repr=False)
    goals: Goals = field(default_factory=Goals)
    known: Known = _nothing_known
    fidelities: Fidelities = field(default_factory=Fidelities)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An architecture and why it is proposed.

    Attributes:
        architecture: One of the space, not seen before (at this fidelity or a higher one).
        origin: A word for journal and report: ``"initial"``, ``"acquisition"``, ``"evolution"``, ``"neighbour"``,
            ``"random"``, or one of your own.
        fidelity: One of `Domain.fidelities`; None (default) for a full evaluation.

    Examples:
        >>> import po_nas
        >>> space = po_nas.spaces.get("nasbench201")
        >>> po_nas.Proposal(space.at(7), "random").origin
        'random'
    """

    architecture: Architecture
    origin: str
    fidelity: float | None = None


class Searcher(ABC):
    """A search method.

    Subclasses implement `propose`. The base class numbers trials, keeps what was told, and hands every call of
    `propose` a generator of its own, seeded by the search's seed and the trial's number.

    **The one rule**: `propose` depends on `observations`, `pending`, `domain`, `options` and its generator alone. A
    killed run is resumed by telling a fresh searcher what the journal holds, so anything else that a method remembers
    between calls must be a cache that can be computed again. `po_nas.testing.SearcherConformance` checks it.

    * Trials may be told in any order, and asking goes on while others are pending.
    * `propose` runs with torch's switches as in a fresh interpreter (`po_nas.switches`), whatever the caller or an
      objective has switched.
    * A failed trial is an observation without a search signal; it counts, and its architecture is not proposed again.
    * Telling a trial the same outcome twice changes nothing; telling it another one is an error.
    * `score` turns a search signal into "higher is better"; methods never look at the direction themselves. What breaks
      a limit scores below all that keep them.
    * Warm-start observations are observations: an initial design counts them, `initial_design_done` says how.
    * `observations`, `successes` and what is made of them are of full evaluations. A method that uses fidelities finds
      the others in `all_observations`; it may ask for an architecture again, at a higher fidelity each time.
    * Randomness that is not that of one proposal comes from `stream`, by a name of its own.

    Args:
        domain: What the method may know of the search.
        seed: Of everything random in the search.
        options: An instance of its `Options`; default: their defaults.

    Attributes:
        Options: The class of its options.
        supports_transfer: Whether it makes use of `Domain.source_tasks`.
        needs_other_tasks: Whether `Domain.source_tasks` is to hold the tables of the benchmark's other tasks.
        supports_objectives: Whether it searches for a front where `Domain.goals` has several objectives.
        pending: Trials asked for and not told, by number.

    Examples:
        >>> import po_nas
        >>> class Walk(po_nas.Searcher):
        ...     def propose(self, rng):
        ...         if not self.initial_design_done(1, successes=1):
        ...             return po_nas.Proposal(self.draw_unseen(rng), "initial")
        ...         best = self.best_first(self.successes)[0]
        ...         near = [a for a in self.domain.space.neighbours(best) if not self.is_seen(a)]
        ...         return po_nas.Proposal(near[0] if near else self.draw_unseen(rng), "neighbour")
        >>> result = po_nas.search(benchmark="nasbench_graph/proteins", method=Walk, budget=5, out="runs/walk")
        >>> result.evaluations, result.failed
        (5, 0)
    """

    Options: ClassVar[type[MethodOptions]] = MethodOptions
    supports_transfer: ClassVar[bool] = False
    needs_other_tasks: ClassVar[bool] = False
    supports_objectives: ClassVar[bool] = False

    @classmethod
    def uses_fidelities(cls, options: MethodOptions) -> bool:
        """Whether it asks for evaluations at lower fidelities when it has these options; by default none does."""
        return False

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        self.domain = domain
        self.seed = seed
        self.options = options if options is not None else self.Options()
        self.pending: dict[int, Trial] = {}
        self._told: dict[int, Observation] = {}
        self._custom: list[Observation] = []
        self._latest_trials: dict[Hashable, Trial] = {}
        self._next = 0
        self._limited: tuple[int, float, float] = (-1, 0.0, 1.0)

    @abstractmethod
    def propose(self, rng: np.random.Generator) -> Proposal:
        """One architecture that is not seen, or not at so high a fidelity; `SearchExhaustedError` when none is left.

        In a batch it is called once per trial, with the earlier ones of the batch already pending.
        """

    def explain(self) -> Mapping[str, Any] | None:
        """What the method has learned, for the report: JSON-serialisable, a function of the observations; or None.

        ``{"trust": …}`` is drawn: the weights of proxies, see `po_nas.reports.figures`.
        """
        return None

    # -- asking and telling ---------------------------------------------------------------------------------------

    def ask(self, n: int = 1, room: float | None = None) -> list[Trial]:
        """Up to `n` new trials, now pending.

        Fewer when nothing else is left, `SearchExhaustedError` when nothing is. With `room`, the next trial must not
        cost more than that many full evaluations; trials before one that does are all there is, perhaps none.
        """
        trials: list[Trial] = []
        least = 0.0 if self.uses_fidelities(self.options) else 1.0
        while len(trials) < n and (room is None or room + ROUNDING >= least):
            number = self._next
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
            try:
                with default_switches():
                    proposal = self.propose(rng)
            except SearchExhaustedError:
                if trials:
                    break
                raise
            if not isinstance(proposal, Proposal):
                raise PoNasError(
                    f"{type(self).__name__}.propose returned {short(proposal)}; it must return a po_nas.Proposal"
                )
            trial = self.trial(number, proposal.architecture, proposal.origin, proposal.fidelity)
            if self.repeats(trial):
                raise PoNasError(
                    f"{type(self).__name__} proposed {self.domain.space.to_string(proposal.architecture)} again; "
                    "a method must not propose what is_seen() knows, but at a higher fidelity"
                )
            if room is not None:
                room -= self.cost(trial)
                if room < -ROUNDING:
                    break
            self._enter(trial)
            trials.append(trial)
        return trials

    def trial(self, number: int, architecture: Architecture, origin: str, fidelity: float | None = None) -> Trial:
        """The trial of a proposal; one that was evaluated at a lower fidelity before keeps its seed."""
        fidelities, before = self.domain.fidelities, self.latest_trial(architecture)
        again = before is not None and before.number >= 0
        seed = before.seed if before is not None and again else self.evaluation_seed(number)
        after = before.fidelity if before is not None and fidelities.resumes else None
        return Trial(number, architecture, origin, seed, fidelities.checked(fidelity), after)

    def repeats(self, trial: Trial) -> bool:
        """Whether the architecture of a new trial has been asked for, or told, at this fidelity or a higher one."""
        before, amount = self.latest_trial(trial.architecture), self.domain.fidelities.amount
        return before is not None and amount(before.fidelity) >= amount(trial.fidelity)

    def cost(self, trial: Trial) -> float:
        """What a trial costs, in full evaluations."""
        return self.domain.fidelities.cost(trial.fidelity, trial.after)

    def evaluation_seed(self, number: int) -> int:
        """The seed of the evaluation of trial `number`, a function of the seed of the search.

        That of an architecture which was evaluated at a lower fidelity is the seed of then (`trial`).
        """
        return int(seed_sequence(self.seed, "trial seed", number).generate_state(1)[0])

    def tell(self, number: int, outcome: Outcome) -> None:
        """Report the outcome of a pending trial."""
        if number in self._told:
            if self._told[number].outcome != outcome:
                raise PoNasError(f"trial {number} has been told another outcome already; a trial has one outcome")
            return
        if number not in self.pending:
            raise PoNasError(f"trial {number} was never asked for; ask before telling, or use tell_custom")
        self._told[number] = Observation(self.pending.pop(number), outcome)

    def tell_custom(self, architecture: Architecture, outcome: Outcome) -> None:
        """Warm start with an evaluation made elsewhere; it is not counted and not proposed again."""
        trial = Trial(-1, architecture, "user", 0)
        self._custom.append(Observation(trial, outcome))
        self._note(trial)

    def restore(self, trial: Trial) -> None:
        """Take back a trial that an earlier process asked for; it becomes pending."""
        if trial.number != self._next:
            raise PoNasError(f"trial {trial.number} restored out of order, expected {self._next}")
        self._enter(trial)

    def _enter(self, trial: Trial) -> None:
        self.pending[trial.number] = trial
        self._note(trial)
        self._next = trial.number + 1

    def _note(self, trial: Trial) -> None:
        self._latest_trials[self.domain.identity(trial.architecture)] = trial

    # -- what a method may look at --------------------------------------------------------------------------------

    @property
    def observations(self) -> list[Observation]:
        """All told trials: warm-start ones first, then by number, whatever the order of telling.

        Those of full evaluations: what is told at a lower fidelity is another quantity.
        """
        return [o for o in self.all_observations if o.trial.fidelity is None]

    @property
    def all_observations(self) -> list[Observation]:
        """All told trials at any fidelity, in the order of `observations`."""
        return [*self._custom, *(self._told[number] for number in sorted(self._told))]

    @property
    def all_trials(self) -> list[Trial]:
        """All trials, told and pending, at any fidelity, by number; warm-start ones, whose number is -1, first."""
        return sorted((*(o.trial for o in self.all_observations), *self.pending.values()), key=lambda t: t.number)

    @property
    def successes(self) -> list[Observation]:
        """The observations, of full evaluations, that have a search signal."""
        return [o for o in self.observations if o.outcome.validation is not None]

    def score(self, outcome: Outcome) -> float:
        """The search signal, oriented so that higher is better; minus infinity for a failure.

        What breaks a limit is below everything that has kept them so far, the lower the farther it is beyond.
        """
        if outcome.validation is None or not self.domain.goals.measured_limits:
            return self.signal(outcome)
        told = len(self._told) + len(self._custom)
        if self._limited[0] != told:
            self._limited = told, *self._worst_feasible(self.successes)
        return self._below_others(outcome, *self._limited[1:])

    def scores(self, told: Sequence[Observation]) -> NDArray[np.float64]:
        """The scores (n,) of n observations, as if there were no others: for what is to depend on these alone."""
        worst, spread = self._worst_feasible(told)
        return np.array([self._below_others(o.outcome, worst, spread) for o in told], dtype=np.float64)

    def _below_others(self, outcome: Outcome, worst: float, spread: float) -> float:
        """The search signal; below `worst`, by at most `spread`, for what breaks a limit."""
        if outcome.validation is not None and self.domain.goals.measured_limits:
            violation = float(self.domain.goals.violations([outcome.metrics])[0])
            if violation > 0:
                return worst - spread * (1.0 - 0.5 / (1.0 + violation))
        return self.signal(outcome)

    def signal(self, outcome: Outcome) -> float:
        """The search signal, oriented so that higher is better, whatever the limits; minus infinity for a failure."""
        if outcome.validation is None:
            return -np.inf
        return outcome.validation if self.domain.maximize else -outcome.validation

    def _worst_feasible(self, told: Iterable[Observation]) -> tuple[float, float]:
        """The lowest signal among observations that keep all limits, and the distance from the highest (or 1)."""
        succeeded = (o.outcome for o in told if o.outcome.validation is not None)
        signals = [self.signal(o) for o in succeeded if self.domain.goals.feasible(o.metrics)] or [0.0]
        return min(signals), (max(signals) - min(signals)) or 1.0

    def best_first(self, told: Iterable[Observation]) -> list[Architecture]:
        """The architectures of observations, the best by `score` first; equal ones in the order given."""
        return [o.trial.architecture for o in sorted(told, key=lambda o: -self.score(o.outcome))]

    def is_seen(self, architecture: Architecture) -> bool:
        """Whether an evaluation of it has been asked for or told, at any fidelity."""
        return self.domain.identity(architecture) in self._latest_trials

    def latest_trial(self, architecture: Architecture) -> Trial | None:
        """The trial of an architecture that was asked for last, the one at its highest fidelity; None without one.

        Warm-start observations are trials of the number -1.
        """
        return self._latest_trials.get(self.domain.identity(architecture))

    @property
    def seen(self) -> AbstractSet[Hashable]:
        """Keys (`Domain.identity`) of all architectures that `is_seen` knows."""
        return self._latest_trials.keys()

    @property
    def asked(self) -> int:
        """Number of trials asked for so far, warm-start observations not among them."""
        return self._next

    def initial_trials(self, size: int) -> int:
        """How many trials of an initial design of `size` evaluations are left to this search.

        Warm-start observations are taken to be its first ones: each of them saves one trial.
        """
        return max(size - len(self._custom), 0)

    def initial_design_done(self, size: int, successes: int = 0) -> bool:
        """Whether the initial design is over, so that a method may use what it has learned.

        Args:
            size: Evaluations in it; those that are pending count, and so do warm-start observations.
            successes: Observations with a search signal that the method needs at least.
        """
        return self._next >= self.initial_trials(size) and (not successes or len(self.successes) >= successes)

    def seed_sequence(self, stream: str, number: int = 0) -> np.random.SeedSequence:
        """The source of randomness called `stream`, see `po_nas.core.searcher.seed_sequence`."""
        return seed_sequence(self.seed, stream, number)

    def stream(self, name: str, number: int = 0) -> np.random.Generator:
        """A generator at the start of the random stream called `name`."""
        return np.random.default_rng(self.seed_sequence(name, number))

    def draw_unseen(self, rng: np.random.Generator) -> Architecture:
        """A random unseen architecture.

        Draws from the space; when that keeps hitting seen ones and the space can be enumerated, draws among what is
        left. Raises `SearchExhaustedError` when nothing is.
        """
        space = self.domain.space
        for _ in range(_REJECTIONS):
            architecture = space.sample(rng)
            if not self.is_seen(architecture):
                return architecture
        if space.enumerable:
            left = [a for a in space.enumerate() if not self.is_seen(a)]
            if left:
                return left[int(rng.integers(len(left)))]
        raise SearchExhaustedError(
            f"no architecture of {space.name} is left to propose after {len(self._latest_trials)}"
        )
