"""PO-NAS that is told the tables of a benchmark's other tasks."""

from __future__ import annotations

from po_nas.core.searcher import Domain, MethodOptions
from po_nas.errors import ConfigError
from po_nas.methods.po_nas import PONAS

__all__ = ["PONASTransfer"]


class PONASTransfer(PONAS):
    """`po_nas` that has learned from the tables of the benchmark's other tasks, never from that of the task at hand.

    What the other tasks of the space have on record enters as a proxy each; the order of all proxies before the first
    evaluation, how far to trust it, and the hyperparameters are learned from them
    (`po_nas.methods.candidates.transferred_prior`). It knows what a search on a new task can only know where others
    have searched before: its numbers are not to be mixed with those of methods that see one task. For runs of one's own
    on other tasks ``po_nas`` does the same with ``warm_start``.

    Raises `ConfigError` for an objective that has no other task: one that is no table, a benchmark of one task, a
    feedback that tells all tasks the same.
    """

    needs_other_tasks = True

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        if not domain.source_tasks:
            raise ConfigError(
                "method",
                "po_nas_transfer",
                f"learns from the tables of a benchmark's other tasks, and there is none in {domain.space.name} under "
                "this feedback; use po_nas, with warm_start=DIR for runs of your own on other tasks",
            )
        super().__init__(domain, seed=seed, options=options)
