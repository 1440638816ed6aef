"""po-nas: budgeted Bayesian-optimisation search for neural architectures.

What users need is imported from here; each name is loaded on first use, so that ``import po_nas`` stays light:

* searches: `search`, `resume`, `Session` (ask and tell), `Result`, `Callback`, `import_evaluations`;
* search spaces: `declare` with `Categorical`, `Ordinal`, `Int` and `Float`; `Space`, `CategoricalSpace`,
  `Architecture`, `GraphEncoding` and `OperationGraph` for spaces of your own;
* objectives: `Training`, `Objective`, `Outcome`, `Metric`, `with_computed_proxies`;
* methods: `Searcher`, `MethodOptions`, `Proposal`;
* tables: `Benchmark`, `BenchmarkSpec`, `Feedback`, `EnumerationRows`, `RecordedProxies`;
* registries, which are modules: `benchmarks`, `data_sets`, `executors`, `methods`, `networks`, `spaces`; and `errors`.

`po_nas.testing` has conformance kits for what you add. `proxies`, `losses` and `surrogates` are packages of their own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from po_nas import errors
from po_nas._version import __version__
from po_nas.errors import PoNasError
from po_nas.packages import check_packages

if TYPE_CHECKING:
    from po_nas import benchmarks, methods, networks, spaces
    from po_nas.benchmarks import BenchmarkSpec
    from po_nas.benchmarks.base import Benchmark, Feedback
    from po_nas.benchmarks.rows import EnumerationRows
    from po_nas.core.goals import Metric
    from po_nas.core.objective import Objective, Outcome
    from po_nas.core.searcher import MethodOptions, Proposal, Searcher
    from po_nas.proxy_scores.combined import with_computed_proxies
    from po_nas.proxy_scores.table import RecordedProxies
    from po_nas.runtime import executors
    from po_nas.runtime.api import resume, search
    from po_nas.runtime.callbacks import Callback
    from po_nas.runtime.imports.run import import_evaluations
    from po_nas.runtime.run_directory import Result
    from po_nas.runtime.session import Session
    from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space
    from po_nas.spaces.categorical import CategoricalSpace
    from po_nas.spaces.declared import Categorical, Float, Int, Ordinal, declare
    from po_nas.training import data_sets
    from po_nas.training.training import Training

__all__ = [
    "Architecture",
    "Benchmark",
    "BenchmarkSpec",
    "Callback",
    "Categorical",
    "CategoricalSpace",
    "EnumerationRows",
    "Feedback",
    "Float",
    "GraphEncoding",
    "Int",
    "MethodOptions",
    "Metric",
    "Objective",
    "OperationGraph",
    "Ordinal",
    "Outcome",
    "PoNasError",
    "Proposal",
    "RecordedProxies",
    "Result",
    "Searcher",
    "Session",
    "Space",
    "Training",
    "__version__",
    "benchmarks",
    "data_sets",
    "declare",
    "errors",
    "executors",
    "import_evaluations",
    "methods",
    "networks",
    "resume",
    "search",
    "spaces",
    "with_computed_proxies",
]

_MODULES = {
    "benchmarks": "benchmarks",
    "data_sets": "training.data_sets",
    "executors": "runtime.executors",
    "methods": "methods",
    "networks": "networks",
    "spaces": "spaces",
}
_LAZY = {
    "Architecture": "spaces.base",
    "Benchmark": "benchmarks.base",
    "BenchmarkSpec": "benchmarks",
    "Callback": "runtime.callbacks",
    "Categorical": "spaces.declared",
    "CategoricalSpace": "spaces.categorical",
    "EnumerationRows": "benchmarks.rows",
    "Feedback": "benchmarks.base",
    "Float": "spaces.declared",
    "GraphEncoding": "spaces.base",
    "Int": "spaces.declared",
    "MethodOptions": "core.searcher",
    "Metric": "core.goals",
    "Objective": "core.objective",
    "OperationGraph": "spaces.base",
    "Ordinal": "spaces.declared",
    "Outcome": "core.objective",
    "Proposal": "core.searcher",
    "RecordedProxies": "proxy_scores.table",
    "Result": "runtime.run_directory",
    "Searcher": "core.searcher",
    "Session": "reports.searches",
    "Space": "spaces.base",
    "Training": "training.training",
    "declare": "spaces.declared",
    "import_evaluations": "runtime.imports.run",
    "resume": "reports.searches",
    "search": "reports.searches",
    "with_computed_proxies": "proxy_scores.combined",
}


check_packages()


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import what is asked for on first use, so that ``import po_nas`` stays light."""
    if name in _MODULES:
        return importlib.import_module(f"po_nas.{_MODULES[name]}")
    if name in _LAZY:
        return getattr(importlib.import_module(f"po_nas.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'po_nas' has no attribute {name!r}")
