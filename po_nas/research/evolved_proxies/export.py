"""The formula that the study ends with, as a file of an evolved proxy.

    python -m po_nas.research.evolved_proxies.export CONFIG.yaml runs/evolved_proxies evolved_rank

writes ``proxies/evolved/shipped/<name>.json``: the formula, a reference sample of each space, and one of networks
scored by our own engine (half a minute), which single networks are scored against.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from po_nas._version import __version__
from po_nas.errors import UnknownNameError
from po_nas.formula import leaves
from po_nas.research.evolved_proxies.design import EvolvedStudyConfig, load_evolved_study
from po_nas.research.evolved_proxies.engine_reference import add_reference
from po_nas.research.evolved_proxies.selection import RULES, formula_of
from po_nas.research.evolved_proxies.symbolic import problem
from proxies.evolved.proxy import EvolvedProxy, save
from proxies.evolved.reference import fit

__all__ = ["shipped_proxy"]


def shipped_proxy(config: EvolvedStudyConfig, table: pa.Table, name: str, rule: str = "training") -> EvolvedProxy:
    """The final formula of the shipped variant by that rule, evolved on all spaces.

    Its references hold scores, no accuracies. Raises `UnknownNameError` for a rule that chose none.
    """
    label = config.shipped or next(iter(config.variants))
    rows = [row for row in table.to_pylist() if row["method"] == label and not row["held_out"] and row["rule"] == rule]
    if not rows:
        raise UnknownNameError(f"rule of {label}", rule, RULES)
    formula = formula_of(rows[0]["formula"])
    first: dict[str, str] = {}
    for row in rows:
        if row["problem"] in config.learned:
            first.setdefault(row["space"], row["problem"])
    references = {}
    for space, found in first.items():
        whole = problem(found)
        columns = {leaf: whole.columns.get(leaf, np.full(len(whole), np.nan)) for leaf in leaves(formula)}
        references[space] = fit(config.settings(label).normaliser, columns, source=f"{found}: {whole.source}")
    training: Mapping[str, Any] = {
        "po_nas": __version__,
        "problems": [row["problem"] for row in rows if row["problem"] in config.learned],
        "study": config.name,
        "variant": label,
        "rule": rule,
        "seeds": config.seeds,
        "settings": {**config.engine, **config.variants[label].settings},
        "tau": {row["problem"]: round(row["tau"], 4) for row in rows},
    }
    return EvolvedProxy(name, formula, references, "", training)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("directory", type=Path, help="of the finished study")
    parser.add_argument("name")
    parser.add_argument("--rule", default="training", help=f"how the formula is chosen: {', '.join(RULES)}")
    parser.add_argument("--out", type=Path, default=Path("proxies/evolved/shipped"))
    options = parser.parse_args()
    table = pq.read_table(options.directory / "results.parquet")
    proxy = shipped_proxy(load_evolved_study(options.config), table, options.name, options.rule)
    path = options.out / f"{options.name}.json"
    save(add_reference(proxy, "nasbench201"), path)
    print(path)


if __name__ == "__main__":
    main()
