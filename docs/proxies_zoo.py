"""Score a zoo of networks by every proxy of the package, as ``docs/results/proxies_zoo.md``.

    python docs/proxies_zoo.py

The networks are those of ``tests/proxies/zoo.py``. A cell is a score, or the letter of the sentence that says why there
is none. ``tests/proxies/test_zoo.py`` checks that the page says which cells have a score and which sentence the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import proxies  # noqa: E402
from proxies.catalogue import CATALOGUE  # noqa: E402
from tests.proxies.zoo import ZOO, Entry, entry  # noqa: E402

__all__ = ["NAMES", "PAGE", "evaluated", "main", "page"]

NAMES = sorted(spec.name for spec, _, _ in CATALOGUE)
PAGE = ROOT / "docs/results/proxies_zoo.md"

_INTRODUCTION = """\
# Proxies on networks of many families

Regenerate with `python docs/proxies_zoo.py`. Small networks, written as image models, language models and the like are
written in the libraries that people use ([tests/proxies/zoo.py](../../tests/proxies/zoo.py)): normalisation with the
activation inside, functions in place of modules, attention in windows, weights that belong to no layer. Batch of 8,
random weights and inputs, single precision, seed 0. U-Net classifies pixels, the graph network nodes; GPT takes words
and has a loss of its own.

A cell is the score (three digits) or a letter: the proxy has no score for that network, and the sentence below is what
it says. Scores of different rows have nothing to do with each other, and these networks are too different for a row to
be a ranking.
"""


def evaluated(made: Entry) -> proxies.Scores:
    """Scores and errors of a network of the zoo."""
    return proxies.evaluate(made.module, (made.inputs, made.labels), NAMES, loss=made.loss)


def page(found: Mapping[str, proxies.Scores]) -> str:
    """The page, as Markdown: a row for each proxy, a column for each network."""
    letters: dict[str, str] = {}

    def cell(proxy: str, network: str) -> str:
        scores = found[network]
        if proxy in scores.values:
            return f"{scores.values[proxy]:.3g}"
        sentence = scores.errors[proxy].reason.replace(type(entry(network).module).__name__, "the network", 1)
        sentence = sentence.splitlines()[0]
        if sentence not in letters:
            high, low = divmod(len(letters), 26)
            letters[sentence] = ("abcdefghijklmnopqrstuvwxyz"[high - 1] if high else "") + chr(ord("a") + low)
        return f"*{letters[sentence]}*"

    rows = [f"| {proxy} | {' | '.join(cell(proxy, network) for network in found)} |" for proxy in NAMES]
    head = [f"| proxy | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    notes = [f"* *{letter}*: {sentence}" for sentence, letter in letters.items()]
    return "\n".join([_INTRODUCTION, *head, *rows, "", *notes]) + "\n"


def main() -> None:
    """Score the zoo and write the page."""
    PAGE.write_text(page({name: evaluated(entry(name)) for name in ZOO}), encoding="utf-8")


if __name__ == "__main__":
    main()
