"""Candidates of a search: architectures, one for each key, with their encodings and proxy scores."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from po_nas.core.proxy_source import ProxySource
from po_nas.core.searcher import Domain, seed_sequence
from po_nas.errors import ProxiesUnavailableError, UnknownNameError
from po_nas.proxy_scores.transfer import PREFIX, TransferProxies
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.ngrams import NGramEncoder
from proxies.proxy_spec import ProxySpec
from proxies.registration import registry
from surrogates.encodings import Encodings

__all__ = [
    "POOL_OPTION",
    "SCALING_OPTION",
    "ArchitectureEncodings",
    "CandidateSet",
    "candidates",
    "is_listed",
    "require_proxies",
    "scored_candidates",
]

POOL_OPTION = (
    "number of candidates, drawn once from the seed; default: the whole space up to 60,000 architectures, else 10,000, "
    "or 1,000 where the space cannot be enumerated and proxies are computed by building networks"
)
"""What the option `pool` of a method means."""
SCALING_OPTION = (
    "of each proxy to [0, 1]: by its range over the candidates, as published, which pushes nearly all of them to one "
    "end where a proxy has a long tail; by the range of its logarithms; or by rank"
)
"""What the option `scaling` of a method means."""

_LISTED = 60_000
_SAMPLED = 10_000
_SCORED = 1_000
"""Candidates whose proxy scores nobody can have recorded."""
_ATTEMPTS = 20
"""Draws for each candidate wanted, before a space is taken to have no others."""
_COVERAGE = 0.5


class ArchitectureEncodings:
    """Encodings of a list of n architectures, each computed when it is first asked for."""

    def __init__(self, space: Space, architectures: Sequence[Architecture]) -> None:
        self._space, self._architectures = space, architectures
        self._ngrams: dict[int, NGramEncoder] = {}

    @cached_property
    def graphs(self) -> Encodings:
        """Graph encodings."""
        return Encodings.stack(self._space.encode_graph(a) for a in self._architectures)

    @cached_property
    def vectors(self) -> NDArray[np.float64]:
        """Vector encodings (n, d)."""
        return self._space.encode_vectors(self._architectures)

    def ngrams(self, length: int) -> NGramEncoder:
        """Counts of operation sequences of up to `length`, and the encoder of others by the same sequences."""
        if length not in self._ngrams:
            self._ngrams[length] = NGramEncoder(self._space, self._architectures, length)
        return self._ngrams[length]


@dataclass(frozen=True, eq=False, repr=False)
class CandidateSet:
    """n architectures that a search may propose, and what is known of them without an evaluation.

    Attributes:
        space: Where they are from.
        identity: The key of an architecture.
        architectures: All of them, one for each key.
        position: The place of each key.
        encodings: Their encodings.
        names: Of k proxies.
        scores: Raw proxy scores (n, k), higher = expected to be better, NaN where missing.
    """

    space: Space
    identity: Callable[[Architecture], Hashable]
    architectures: tuple[Architecture, ...]
    position: Mapping[Hashable, int]
    encodings: ArchitectureEncodings
    names: tuple[str, ...]
    scores: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        space: Space,
        identity: Callable[[Architecture], Hashable],
        architectures: Iterable[Architecture],
        keep: Literal["first", "last"] = "first",
    ) -> CandidateSet:
        """Architectures without proxy scores; `keep` says which of several with one key is the candidate."""
        chosen: dict[Hashable, Architecture] = {}
        for architecture in architectures:
            key = identity(architecture)
            if keep == "last" or key not in chosen:
                chosen[key] = architecture
        position = {key: place for place, key in enumerate(chosen)}
        listed = tuple(chosen.values())
        return cls(
            space, identity, listed, position, ArchitectureEncodings(space, listed), (), np.empty((len(listed), 0))
        )

    def __len__(self) -> int:
        return len(self.architectures)

    def positions(self, keys: Iterable[Hashable]) -> list[int]:
        """Places of those keys that are among the candidates."""
        return [self.position[key] for key in keys if key in self.position]

    @cached_property
    def incomplete(self) -> NDArray[np.bool_]:
        """Which candidates (n,) lack a proxy score."""
        return np.asarray(np.isnan(self.scores).any(axis=1))

    def extended(self, architectures: Sequence[Architecture], scores: NDArray[np.float64]) -> CandidateSet:
        """A new set with others at the end, whose raw proxy scores are `scores` (a, k)."""
        if not architectures:
            return self
        position = dict(self.position)
        for place, architecture in enumerate(architectures, len(self)):
            position.setdefault(self.identity(architecture), place)
        everything = (*self.architectures, *architectures)
        return replace(
            self,
            architectures=everything,
            position=position,
            encodings=ArchitectureEncodings(self.space, everything),
            scores=np.concatenate([self.scores, scores]),
        )


def is_listed(space: Space) -> bool:
    """Whether a space is small enough for all of it to be candidates."""
    return _has_at_most(space, _LISTED)


def _has_at_most(space: Space, number: int) -> bool:
    return space.enumerable and space.size is not None and space.size <= number


def candidates(
    domain: Domain, seed: int, size: int | None = None, keep: Literal["first", "last"] = "first"
) -> CandidateSet:
    """The candidates of a search without proxy scores; shared by the searches that share `Domain.cache`.

    Args:
        domain: Of the search.
        seed: Of the search, on which a sample depends alone.
        size: Wanted in a sample (fewer where the space has fewer); default: see `POOL_OPTION`.
        keep: Which of several architectures with one key is the candidate, where the whole space is listed.
    """
    space, identity = domain.space, domain.identity
    if is_listed(space) if size is None else _has_at_most(space, size):
        return domain.cache.get(
            "candidates", (space,), (identity, keep), lambda: CandidateSet.of(space, identity, space.enumerate(), keep)
        )
    wanted = size or _SAMPLED

    def sample() -> CandidateSet:
        rng = np.random.default_rng(seed_sequence(seed, "candidates"))
        drawn: dict[Hashable, Architecture] = {}
        for _ in range(_ATTEMPTS * wanted):
            if len(drawn) == wanted:
                break
            architecture = space.sample(rng)
            drawn.setdefault(identity(architecture), architecture)
        return CandidateSet.of(space, identity, drawn.values())

    return domain.cache.get("candidates", (space,), (identity, seed, wanted), sample)


def require_proxies(domain: Domain, method: str, names: Sequence[str] | None = None) -> ProxySource:
    """The proxy scores of a search, those transferred from other tasks included, for methods that need some.

    Raises:
        ProxiesUnavailableError: when there are none.
        UnknownNameError: when one of `names` is not among them.
    """
    source, tasks = domain.proxies, domain.source_tasks
    if tasks:
        source = domain.cache.get(
            "transfer",
            (source, domain.space, *tasks),
            None,
            lambda: TransferProxies(domain.proxies, domain.space, tasks),
        )
    if source is None:
        raise ProxiesUnavailableError(method, domain.space.name, "the objective tells none")
    for name in names or ():
        if name not in source.names:
            raise UnknownNameError(f"proxy of {domain.space.name}", name, source.names)
    return source


def scored_candidates(
    domain: Domain, seed: int, method: str, names: Sequence[str] | None = None, size: int | None = None
) -> CandidateSet:
    """The candidates of a search with their proxy scores; shared by the searches that share `Domain.cache`.

    Args:
        domain: Of the search.
        seed: Of the search.
        method: Its name, for errors.
        names: Of the proxies wanted; default: all that at least half of the candidates have, without evolved proxies
            over others that are there (these would count twice) and what the source has further. What is known of
            other tasks is always among them.
        size: As for `candidates`, except that the sample of a space that cannot be enumerated has 1,000 by default.

    Raises:
        ProxiesUnavailableError: when there are no scores, or no proxy covers half of the candidates.
        UnknownNameError: when one of `names` is not there.
    """
    source = require_proxies(domain, method, names)
    asked = [name for name in source.names if name not in source.further]
    wanted = tuple(name for name in asked if not _composed(name, source.names))
    if names:
        wanted = (*names, *(n for n in source.names if n.startswith(PREFIX) and n not in names))
    if size is None and not domain.space.enumerable:
        size = _SCORED
    listed = candidates(domain, seed, size)

    def scored() -> CandidateSet:
        scores, kept = source.values(listed.architectures, wanted), wanted
        if not names:
            columns = np.flatnonzero(np.isfinite(scores).mean(axis=0) >= _COVERAGE)
            scores, kept = scores[:, columns], tuple(wanted[k] for k in columns)
        return replace(listed, names=kept, scores=scores)

    found = domain.cache.get("scored candidates", (listed, source), (wanted, bool(names)), scored)
    if not found.names:
        missing = next((f" ({name}: {source.reasons[name]})" for name in wanted if name in source.reasons), "")
        raise ProxiesUnavailableError(method, domain.space.name, f"none is known for half of the candidates{missing}")
    return found


def _composed(name: str, others: Sequence[str]) -> bool:
    """Whether a proxy is computed from others that are there as well."""
    spec = registry.entry(name).spec if name in registry else None
    return isinstance(spec, ProxySpec) and bool(spec.needs) and set(spec.needs) <= set(others)
