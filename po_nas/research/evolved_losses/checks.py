"""The integrity check: cheap stages that a loss passes before anything is trained, and what each threw away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from losses.classification import Program
from po_nas.research.evolved_losses import curves
from po_nas.research.evolved_losses.archive import Archive
from po_nas.research.evolved_losses.graph import Graph
from po_nas.research.evolved_losses.probe import GAIN, PROBE_REASONS, gain, probe

__all__ = ["STAGES", "Candidate", "Funnel", "IntegrityCheck"]

F64 = NDArray[np.float64]
STAGES = (
    "structure",
    "new formula",
    "binary curve",
    "ten classes",
    "gradients",
    "phenotype",
    "gradient norms",
    "predictions",
)
"""In the order in which a loss meets them."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A loss that passed: L = scale · sign · Σ_c f(y_c, p_c), f the graph's formula."""

    graph: Graph
    sign: int
    scale: float

    @property
    def text(self) -> str:
        """The formula of f."""
        return self.graph.text


@dataclass
class Funnel:
    """How many losses met each stage and passed it, and why the others did not."""

    met: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def count(self, stage: str, reason: str = "", n: int = 1) -> None:
        """`n` losses met a stage and passed it, or failed for a reason."""
        self.met[stage] += n
        if reason:
            self.reasons[f"{stage}: {reason}"] += n
        else:
            self.passed[stage] += n

    def rows(self) -> list[dict[str, object]]:
        """One row a stage: name, how many met and passed it."""
        return [{"stage": stage, "met": self.met[stage], "passed": self.passed[stage]} for stage in STAGES]


class IntegrityCheck:
    """Remembers every loss it has seen, so that none is accepted twice."""

    def __init__(self) -> None:
        self.funnel = Funnel()
        self._texts: set[str] = set()
        self._archive: Archive | None = None

    def structure_and_curve(self, graphs: Sequence[Graph]) -> tuple[list[Graph], F64, list[int]]:
        """The graphs that pass the first three stages, their curves (n, 1000) and signs."""
        new = []
        for graph in graphs:
            self.funnel.count("structure", "" if graph.whole else "lacks y or p")
            if not graph.whole:
                continue
            known = graph.text in self._texts
            self.funnel.count("new formula", "seen" if known else "")
            if not known:
                self._texts.add(graph.text)
                new.append(graph)
        if not new:
            return [], np.empty((0, curves.POINTS)), []
        found = np.stack([curves.curve(Program(graph.formula)) for graph in new])
        reasons, signs = curves.judge(found)
        for reason in reasons:
            self.funnel.count("binary curve", curves.REASONS[reason])
        kept = np.flatnonzero(reasons == 0)
        return [new[k] for k in kept], found[kept] * signs[kept, None], [int(signs[k]) for k in kept]

    def accept(self, graphs: Sequence[Graph]) -> list[Candidate]:
        """The candidates among some graphs, in their order."""
        found = []
        for graph, curve, sign in zip(*self.structure_and_curve(graphs), strict=True):
            candidate = self._deeper(graph, curve, sign)
            if candidate is not None:
                found.append(candidate)
        return found

    def _deeper(self, graph: Graph, curve: F64, sign: int) -> Candidate | None:
        funnel = self.funnel
        program = Program(graph.formula)
        reason, probed = probe(program, sign)
        ten = reason in PROBE_REASONS
        funnel.count("ten classes", reason if ten else "")
        if ten and reason:
            return None
        funnel.count("gradients", reason)
        if probed is None:
            return None
        phenotype = np.concatenate([curves.normalised(curve[None])[0], curves.normalised(probed.losses[None])[0]])
        if self._archive is None:
            self._archive = Archive(len(phenotype))
        known = self._archive.near(phenotype)
        funnel.count("phenotype", "seen" if known else "")
        if known:
            return None
        self._archive.add(phenotype)
        known = self._archive.same_gradients(probed.gradients * probed.scale)
        funnel.count("gradient norms", "seen" if known else "")
        if known:
            return None
        won = gain(program, sign)
        reason = "" if won >= GAIN else "not finite" if np.isnan(won) else "predictions stay wrong"
        funnel.count("predictions", reason)
        return None if reason else Candidate(graph, sign, float(f"{probed.scale:.6g}"))
