"""What an evolution of losses has written, read for reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.compare.statistics import higher_or_lower, holm, paired_p
from po_nas.errors import RunDirectoryError

__all__ = ["F64", "REFERENCE", "Evolved", "PairedTest"]

F64 = NDArray[np.float64]
REFERENCE = "cross_entropy + LS"
"""The baseline that matters: most evolved losses act like it."""
_VERDICTS = {1: "better", -1: "worse", 0: "undecided"}


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A winner against a baseline on one data set over `n` pairs of setting and seed: mean gain in % points, Wilcoxon's
    p-value and Holm's adjustment over the whole family.

    `verdict` is whether the winner is better or worse at 5 %, by the signed ranks that are tested, or undecided: where
    one pair differs by far, the mean gain may point the other way.
    """

    dataset: str
    loss: str
    baseline: str
    n: int
    gain: float
    p: float
    adjusted: float
    verdict: str


@dataclass(frozen=True)
class Evolved:
    """`result` as `po_nas.research.evolved_losses.run.evolve_loss` gives it."""

    result: Mapping[str, Any]

    @classmethod
    def load(cls, directory: Path) -> Evolved:
        """Read ``result.json``; `RunDirectoryError` when there is none."""
        path = directory / "result.json"
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise RunDirectoryError(
                directory, "holds no finished evolution; run: po-nas evolve loss --out DIR"
            ) from None
        except (OSError, ValueError) as error:
            raise RunDirectoryError(path, f"cannot be read ({error})") from error

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration."""
        found: Mapping[str, Any] = self.result["config"]
        return found

    @property
    def dataset(self) -> str:
        """The data set that the losses were evolved on."""
        return str(self.config["dataset"])

    @cached_property
    def tests(self) -> dict[tuple[str, str], dict[str, dict[int, float]]]:
        """Test accuracies by (dataset, setting), loss and seed; NaN where a training failed."""
        found: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
        for row in self.result["final"]:
            value = float("nan") if row["test"] is None else float(row["test"])
            place = found.setdefault((row["dataset"], row["setting"]), {})
            place.setdefault(row["loss"], {})[row["seed"]] = value
        return found

    def rate(self, cell: tuple[str, str], loss: str) -> float:
        """The multiple of the learning rate that a loss was trained with."""
        rows = self.result["final"]
        return float(
            next(row["rate"] for row in rows if (row["dataset"], row["setting"], row["loss"]) == (*cell, loss))
        )

    @property
    def winners(self) -> list[str]:
        """Names of the evolved losses, best by validation first."""
        return [one["name"] for one in self.result["losses"]]

    @property
    def compared(self) -> list[str]:
        """All losses of the final comparison."""
        return list(dict.fromkeys(row["loss"] for row in self.result["final"]))

    @cached_property
    def paired(self) -> list[PairedTest]:
        """Every winner against every baseline, on every data set; pairs in which a training failed count as 0 %."""
        found, paired = [], []
        for dataset in dict.fromkeys(dataset for dataset, _ in self.tests):
            cells = [losses for (name, _), losses in self.tests.items() if name == dataset]
            for winner in self.winners:
                for baseline in (name for name in self.compared if name not in self.winners):
                    pairs = [(c[winner][s], c[baseline][s]) for c in cells for s in sorted(c[winner])]
                    ours, theirs = np.nan_to_num(np.array(pairs)).T
                    gain = float(np.mean(ours - theirs))
                    found.append((dataset, winner, baseline, len(pairs), gain, paired_p(ours, theirs)))
                    paired.append((ours, theirs))
        adjusted = holm([row[5] for row in found])
        verdicts = [_VERDICTS[higher_or_lower(*pair, p)] for pair, p in zip(paired, adjusted, strict=True)]
        return [PairedTest(*row, p, verdict) for row, p, verdict in zip(found, adjusted, verdicts, strict=True)]

    def step(self, name: str) -> dict[int, float]:
        """Validation accuracies of a step of the ladder by number of the loss, without failures.

        ``screen``, ``fitness``, ``round 1`` and so on.
        """
        if name in ("screen", "fitness"):
            return {m["number"]: m[name] for m in self.result["members"] if m[name] is not None}
        found = self.result["rounds"][int(name.split()[1]) - 1]
        return {int(number): value for number, value in found.items() if value is not None}

    @property
    def steps(self) -> list[str]:
        """Names of all steps of the ladder."""
        return ["screen", "fitness", *(f"round {k + 1}" for k in range(len(self.result["rounds"])))]
