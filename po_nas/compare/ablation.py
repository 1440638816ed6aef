"""What a proxy adds: searches with all proxies, with all others, and with it alone, as a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from po_nas import methods
from po_nas.compare.cell import load_objective
from po_nas.compare.design import ComparisonConfig
from po_nas.compare.results import Study
from po_nas.compare.significance import paired_tests
from po_nas.core.settings import validated
from po_nas.errors import ConfigError, ProxiesUnavailableError
from po_nas.runtime.config import ERRORS, ProxiesConfig, located
from po_nas.runtime.trusted_plugins import load_chosen
from proxies.registration import expand

__all__ = ["ablation", "worth_rows"]

_VERDICTS = {"better": "worse", "worse": "better", "": "undecided"}
"""Of a rival, by that of the reference."""


def ablation(
    proxy: str,
    benchmark: str,
    *,
    method: str = "po_nas",
    options: Mapping[str, Any] | None = None,
    others: Sequence[str] = (),
    seeds: int | Sequence[int] = 20,
    budget: int = 50,
    plugins: Sequence[str] = (),
) -> ComparisonConfig:
    """Three searches for each seed: ``all``, ``without`` the proxy and it ``alone``; ``without`` is the reference.

    Args:
        proxy: A proxy whose scores the benchmark has, or one that is registered, which is then computed.
        benchmark: The name of a benchmark.
        method: One that has an option ``proxies``.
        options: Its other options.
        others: The other proxies, names and wildcards; by default all whose scores the benchmark has. Those that it
            has none of are computed.
        seeds: How many, or which.
        budget: Evaluations of each search.
        plugins: Python files, modules or evolved proxies to load first.

    Raises `UnknownNameError` or `ConfigError` for what cannot be run, `MissingDataError` where data are not here.
    """
    load_chosen(plugins := located(plugins))
    if "proxies" not in methods.registry.get(method).Options.model_fields:
        raise ConfigError("method", method, "has no option 'proxies', so none can be left out")
    if "proxies" in (options or {}):
        raise ConfigError("options", "proxies", "are what is compared; name the others by themselves")
    source = load_objective(benchmark, None, ProxiesConfig()).proxies
    recorded = () if source is None else tuple(source.names)
    named = [name for pattern in others for name in ([pattern] if pattern in recorded else expand(pattern))]
    rest = [name for name in dict.fromkeys(named or recorded) if name != proxy]
    if not rest:
        raise ProxiesUnavailableError(method, benchmark, f"without {proxy!r} there is none; name others")
    compute = [name for name in (*rest, proxy) if name not in recorded]
    expand(compute)
    chosen = {"all": [*rest, proxy], f"without {proxy}": rest, f"{proxy} alone": [proxy]}
    raw = {
        "name": f"What {proxy} adds",
        "benchmarks": [benchmark],
        "methods": {label: {**(options or {}), "name": method, "proxies": names} for label, names in chosen.items()},
        "seeds": seeds,
        "budget": budget,
        "reference": f"without {proxy}",
        "proxies": {"compute": compute},
        "plugins": plugins,
        "notes": f"{method} with all proxies ({', '.join(chosen['all'])}), with all but {proxy}, and with it alone.",
    }
    config = validated(ComparisonConfig, raw, errors=ERRORS)
    config.check()
    config.cells(config.names())
    return config


def worth_rows(study: Study) -> list[tuple[str, ...]]:
    """What the searches of a finished `ablation` found, by kind and measure, as text.

    Label, measure, number of seeds, mean after the whole budget, by how much it is better than the reference, Holm's
    adjusted p-value of Wilcoxon's test of the pairs, verdict at 5 %; "–" where nothing is tested.
    """
    rows: list[tuple[str, ...]] = []
    for measure in ("validation", "test"):
        tests = {t.rival: t for t in paired_tests(study, measure) if t.at == study.budget}
        for label in study.methods:
            (benchmark,) = study.benchmarks
            values = [v for v in study.values(measure, benchmark, label, study.budget).values() if math.isfinite(v)]
            if not values:
                continue
            test = tests.get(label)
            tested = ("–", "–", "reference" if label == study.baseline else "–")
            if test is not None:
                tested = (f"{-test.gain:+.3g}", f"{test.adjusted:.3g}", _VERDICTS[test.verdict])
            rows.append((label, measure, str(len(values)), f"{math.fsum(values) / len(values):.4g}", *tested))
    return rows
