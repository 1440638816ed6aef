"""An evolved proxy: a formula over other proxies, and the reference samples that make their scores comparable.

As a file it is one JSON object (`save`, `load`): the formula as text, the references, and where it comes from: the
problems, the seeds and the τ that it reached. `register` makes it a proxy like any other.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import EvolvedProxyError, FormulaError, ProxyValueError, UnknownNameError
from po_nas.formula import Node, latex, leaves, parse, text
from po_nas.registry import Entry
from proxies.evolved.files import composed_spec
from proxies.evolved.functions import ARITIES, LATEX, evaluate
from proxies.evolved.reference import Reference, fit
from proxies.proxy_spec import ProxySpec
from proxies.registration import registry

__all__ = [
    "GRAPH_PREFIX",
    "OF_NETWORKS",
    "EvolvedProxy",
    "EvolvedScore",
    "check_name",
    "evolved_over",
    "evolved_proxy",
    "find",
    "load",
    "load_file",
    "register",
    "save",
]

F64: TypeAlias = NDArray[np.float64]

SCHEMA = 1
KIND = "po-nas evolved metric"
GRAPH_PREFIX = "g_"
"""What the name of a leaf begins with that is a feature of the architecture's graph and no proxy."""
OF_NETWORKS = "_networks"
"""What the name of a reference ends with that holds scores of our own engine; others are of published scores."""
_NUMBERS = re.compile(r"\[\s+([-+0-9.eE,\s]+?)\s+\]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def check_name(name: str) -> None:
    """Raise `EvolvedProxyError` for what no proxy can be called."""
    if not _NAME.fullmatch(name):
        raise EvolvedProxyError("", f"{name!r} is no name; use letters, digits and underscores")


@dataclass(frozen=True, eq=False)
class EvolvedProxy:
    """A formula with its reference samples by name; higher values are expected to be better.

    `default` names the reference that single networks are scored against, which must hold scores of our own engine;
    empty where there is none yet. `training` says how the proxy was found (JSON-serialisable). The normaliser and
    what becomes of missing scores are the same in all references.

    Raises `EvolvedProxyError` where these do not fit each other.
    """

    name: str
    formula: Node
    references: Mapping[str, Reference]
    default: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.leaves:
            raise EvolvedProxyError("", f"the formula {text(self.formula)!r} has no proxy in it")
        if not self.references:
            raise EvolvedProxyError("", "there is no reference sample")
        for key, reference in self.references.items():
            lacking = [leaf for leaf in self.leaves if leaf not in reference.samples]
            if lacking:
                raise EvolvedProxyError("", f"the reference {key!r} has no sample of {', '.join(lacking)}")
        if len({(r.kind, r.missing) for r in self.references.values()}) > 1:
            raise EvolvedProxyError("", "its references normalise in different ways")
        if self.default and self.default not in self.references:
            raise UnknownNameError("reference", self.default, self.references)

    @property
    def leaves(self) -> tuple[str, ...]:
        """Proxies and graph features that it is made of."""
        return leaves(self.formula)

    @property
    def proxies(self) -> tuple[str, ...]:
        """The leaves that are proxies."""
        return tuple(leaf for leaf in self.leaves if not leaf.startswith(GRAPH_PREFIX))

    @property
    def style(self) -> Reference:
        """A reference that tells the normaliser and the treatment of missing scores."""
        return next(iter(self.references.values()))

    @property
    def latex(self) -> str:
        """The formula as LaTeX, without dollar signs."""
        return latex(self.formula, functions=LATEX)

    def values(self, columns: Mapping[str, F64], reference: Reference) -> F64:
        """The proxy (n,) of n architectures from the scores (n,) of its leaves; NaN where it has no value.

        Raises `UnknownNameError` for a leaf that is not among the columns.
        """
        for leaf in self.leaves:
            if leaf not in columns:
                raise UnknownNameError(f"leaf of {self.name}", leaf, columns)
        ready = {leaf: reference.transform(leaf, columns[leaf]) for leaf in self.leaves}
        return evaluate(self.formula, ready)

    def fitted(self, columns: Mapping[str, F64]) -> F64:
        """The proxy (n,) of n architectures, their own scores (n,) by leaf being the reference."""
        style = self.style
        return self.values(
            columns, fit(style.kind, {leaf: columns[leaf] for leaf in self.leaves}, missing=style.missing)
        )

    def with_reference(self, key: str, reference: Reference, *, default: bool = False) -> EvolvedProxy:
        """The same proxy with one more reference, or a new one of that name."""
        kept = Reference(
            reference.kind,
            {leaf: reference.samples[leaf] for leaf in self.leaves},
            reference.size,
            reference.source,
            reference.missing,
        )
        return replace(self, references={**self.references, key: kept}, default=key if default else self.default)

    def state(self) -> dict[str, Any]:
        """A JSON-serialisable record."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "name": self.name,
            "formula": text(self.formula),
            "latex": self.latex,
            "leaves": list(self.leaves),
            "default": self.default,
            "training": dict(self.training),
            "references": {key: reference.state() for key, reference in self.references.items()},
        }

    @classmethod
    def from_state(cls, state: Any) -> EvolvedProxy:
        """The proxy that `state` described; `EvolvedProxyError` that says what is wrong for anything else."""
        if not isinstance(state, dict) or state.get("kind") != KIND:
            raise EvolvedProxyError("", "it is no evolved proxy; `po-nas evolve proxy` writes such files")
        if state.get("schema") != SCHEMA:
            raise EvolvedProxyError("", f"its schema is {state.get('schema')!r}, this version reads {SCHEMA}")
        try:
            formula = parse(str(state["formula"]), functions=ARITIES, variables=[str(v) for v in state["leaves"]])
            references = {str(key): Reference.from_state(value) for key, value in state["references"].items()}
            return cls(str(state["name"]), formula, references, str(state["default"]), dict(state["training"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise EvolvedProxyError("", f"it is damaged ({type(error).__name__}: {error})") from error
        except (FormulaError, UnknownNameError) as error:
            raise EvolvedProxyError("", str(error)) from error


@dataclass(frozen=True)
class EvolvedScore:
    """An evolved proxy with one of its references, as what the engine calls with the scores of the leaves."""

    proxy: EvolvedProxy
    reference: str

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        proxy = self.proxy
        learned = ", ".join(proxy.training.get("problems", ())) or "unknown problems"
        key = f"\n\nScores are seen against the reference {self.reference!r}." if self.reference else ""
        return f"{text(proxy.formula)}\n\nEvolved on {learned}; LaTeX: {proxy.latex}{key}"

    def __call__(self, scores: Mapping[str, float]) -> float:
        """The proxy of one network; NaN where a leaf is missing that must not be.

        Raises `ProxyValueError` where more than half of the leaves are missing or there is no reference of our own
        engine's scores, and for a formula over features of a graph, which a network does not show.
        """
        proxy = self.proxy
        if len(proxy.proxies) < len(proxy.leaves):
            graph = ", ".join(leaf for leaf in proxy.leaves if leaf.startswith(GRAPH_PREFIX))
            raise ProxyValueError(proxy.name, f"{graph}: a network does not show it; use the proxy on a benchmark")
        if not self.reference:
            raise ProxyValueError(
                proxy.name,
                "has no reference sample of scores by this engine; add one: po-nas evolve reference FILE --space …",
            )
        columns = {leaf: np.array([scores.get(leaf, np.nan)]) for leaf in proxy.leaves}
        known = sum(bool(np.isfinite(column).all()) for column in columns.values())
        if 2 * known < len(columns):
            raise ProxyValueError(proxy.name, f"only {known} of its {len(columns)} proxies have a score")
        return float(proxy.values(columns, proxy.references[self.reference])[0])


def save(proxy: EvolvedProxy, path: str | Path) -> None:
    """Write the file as a whole or not at all."""
    target = Path(path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(proxy.state(), indent=1, ensure_ascii=False)
        # A sample of numbers is one line.
        content = _NUMBERS.sub(lambda found: "[" + " ".join(found[1].split()) + "]", content)
        temporary.write_text(content + "\n", encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EvolvedProxyError(target, f"cannot be written ({error.strerror})") from error


def load(path: str | Path) -> EvolvedProxy:
    """Read such a file; `EvolvedProxyError`, which names the file, when it is absent, torn or something else."""
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise EvolvedProxyError(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise EvolvedProxyError(path, f"it is torn or no JSON ({error}); evolve the proxy again") from error
    try:
        return EvolvedProxy.from_state(state)
    except EvolvedProxyError as error:
        raise EvolvedProxyError(path, error.reason) from error


def load_file(path: Path) -> str:
    """Register the proxy of a file; its name. `EvolvedProxyError` when it is none, `DuplicateNameError`."""
    return register(load(path), str(path.resolve()))


def register(proxy: EvolvedProxy, origin: str = "") -> str:
    """Make the proxy a proxy of its name, and of ``name@reference`` for every reference of networks; the name.

    The same origin may register once more, which replaces; `DuplicateNameError` when somebody else has the name.
    """
    where = origin or f"evolved proxy {proxy.name}"
    variants = {proxy.name: proxy.default} | {
        f"{proxy.name}@{key}": key for key in proxy.references if key.endswith(OF_NETWORKS)
    }
    for name, key in variants.items():
        registry.add(
            Entry(
                name,
                f"evolved: {text(proxy.formula)}",
                EvolvedScore(proxy, key),
                "Phan and Luong, arXiv 2505.15832 (the method)",
                ("evolved",),
                spec_of(proxy, name, key),
                where,
            )
        )
    return proxy.name


def spec_of(proxy: EvolvedProxy, name: str, key: str) -> ProxySpec:
    """The record of the proxy with one of its references."""
    sample = proxy.references[key].state() if key else {}
    return composed_spec(registry, name, proxy.proxies, [text(proxy.formula), sample])


def find(name: str) -> EvolvedProxy | None:
    """The evolved proxy registered as `name`, None for any other proxy and for none."""
    if name not in registry or "evolved" not in registry.entry(name).tags:
        return None
    found: object = registry.get(name)
    return found.proxy if isinstance(found, EvolvedScore) else None


def evolved_proxy(name: str) -> EvolvedProxy:
    """The evolved proxy registered as `name`; `UnknownNameError` for anything else."""
    found = find(name)
    if found is None:
        known = [entry.name for entry in registry.entries() if "evolved" in entry.tags]
        raise UnknownNameError("evolved proxy", name, known)
    return found


def evolved_over(available: Collection[str]) -> list[str]:
    """Names of the registered evolved proxies whose proxies are all among those that are available."""
    return [
        entry.name
        for entry in registry.entries()
        if "evolved" in entry.tags and "@" not in entry.name
        if isinstance(entry.spec, ProxySpec) and set(entry.spec.needs) <= set(available)
    ]
