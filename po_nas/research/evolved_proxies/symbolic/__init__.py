"""Genetic programming over formulas of proxies.

    from po_nas.research.evolved_proxies.symbolic import Settings, evolve, problem

    found = evolve([problem("nasbench201/cifar10")], Settings(), numpy.random.default_rng(0))

`sources.expand` knows the names of problems; `tau` judges any formula on any problem.
"""

from __future__ import annotations

from po_nas.research.evolved_proxies.symbolic.evolve import Evolved, Found, Generation, evolve, leaves_of, references_of
from po_nas.research.evolved_proxies.symbolic.fitness import aggregate, scores, tau
from po_nas.research.evolved_proxies.symbolic.problem import Problem
from po_nas.research.evolved_proxies.symbolic.settings import Settings
from po_nas.research.evolved_proxies.symbolic.sources import expand, names, problem

__all__ = [
    "Evolved",
    "Found",
    "Generation",
    "Problem",
    "Settings",
    "aggregate",
    "evolve",
    "expand",
    "leaves_of",
    "names",
    "problem",
    "references_of",
    "scores",
    "tau",
]
