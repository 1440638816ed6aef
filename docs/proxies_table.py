"""Put the table of all proxies into ``docs/proxies.md``: what each measures, costs and is worth, and where it fails.

    python docs/proxies_table.py

Everything is read from where it is known: the catalogue, docs/results/proxies_cost.md, docs/results/new_proxies.md and,
for proxies that are not there, docs/results/correlation/correlation.md; for transformers
docs/results/transformers_proxies/correlation.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from po_nas.research.pages import fill_page  # noqa: E402
from po_nas.research.proxy_correlation.newer import PRINTED  # noqa: E402
from proxies.catalogue import CATALOGUE  # noqa: E402

RESULTS = ROOT / "docs/results"
TASK = "nasbench201/cifar10"
TRANSFORMERS = ("vit_bench/pit-c100_base", "nasbench_bert/glue")


def rows_of(text: str) -> list[list[str]]:
    """The cells of every line of a Markdown table."""
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line]


def costs() -> dict[str, str]:
    """Cost by proxy."""
    return {row[0]: row[2] for row in rows_of((RESULTS / "proxies_cost.md").read_text(encoding="utf-8"))}


def sampled() -> dict[str, str]:
    """τ on the sample of cells by proxy."""
    text = (RESULTS / "new_proxies.md").read_text(encoding="utf-8")
    section = text.partition(f"## {TASK}")[2].partition("\n## ")[0]
    return {row[0]: row[2].partition(" ")[0] for row in rows_of(section)}


def whole() -> dict[str, str]:
    """τ over the whole table by proxy, for those that the package has scores of."""
    return {name: f"{tau} *" for name, tau in own_scores("correlation", TASK).items()}


def own_scores(folder: str, task: str) -> dict[str, str]:
    """τ of our own scores with a task by proxy, from a page of ``po-nas proxies correlate``."""
    table = rows_of((RESULTS / folder / "correlation.md").read_text(encoding="utf-8"))
    column = next(row for row in table if row[0] == "score").index(task)
    found: dict[str, str] = {}
    for row in table:
        name = row[0].removesuffix(" (own)")
        value = re.match(r"-?\d\.\d+", row[column]) if len(row) > column else None
        if row[0].endswith("(own)") and value and name not in found:
            found[name] = f"{float(value.group()):.2f}".replace("0.", ".", 1)
    return found


def table() -> list[str]:
    """The table as lines of Markdown."""
    cost, ours = costs(), whole() | sampled()
    transformers = [own_scores("transformers_proxies", task) for task in TRANSFORMERS]
    lines = [
        "| proxy | what it measures | better | cost | τ / ρ, published | τ, ours | τ on vision transformers / texts "
        "| where it is known to fail |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    for spec, _, summary in CATALOGUE:
        better = {1: "higher", -1: "lower"}.get(spec.direction or 0, "not known")
        tau, rho = PRINTED.get(spec.name, {}).get(TASK, ("", ""))
        published = " / ".join((tau or "–", rho or "–")) if tau or rho else "–"
        measured = ours.get(spec.name, "–")
        taus = [found.get(spec.name, "–") for found in transformers]
        attention = "–" if set(taus) == {"–"} else " / ".join(taus)
        summary = summary.replace("|", "\\|")
        lines.append(
            f"| {spec.name} | {summary} | {better} | {cost.get(spec.name, '–')} | {published} | {measured} "
            f"| {attention} | {spec.failure} |"
        )
    return lines


def main() -> None:
    """Fill the page."""
    fill_page(ROOT / "docs/proxies.md", "python docs/proxies_table.py", "\n".join(table()), "Proxies")


if __name__ == "__main__":
    main()
