"""Where evaluations run: the contract `Executor` and its registry."""

from __future__ import annotations

from po_nas.registry import Entry, Registry
from po_nas.runtime.executors.base import Completed, Executor, ExecutorOptions, Job, Scoring

__all__ = ["Completed", "Executor", "ExecutorOptions", "Job", "Scoring", "names", "register", "registry"]

registry: Registry[type[Executor]] = Registry("executor", "po_nas.executors")
register = registry.register
names = registry.names

for _name, _target, _summary in (
    ("inline", "inline:InlineExecutor", "in this process, one after the other; batches are told together"),
    ("process", "process:ProcessExecutor", "worker processes on this machine, one for each GPU"),
    ("ray", "ray_cluster:RayExecutor", "workers of a Ray cluster (extra `ray`)"),
    ("simulated", "simulated:SimulatedExecutor", "asynchronous workers on a virtual clock of recorded seconds"),
    ("submitit", "slurm:SubmititExecutor", "a Slurm job for each trial, through submitit (extra `slurm`)"),
):
    registry.add(Entry(_name, _summary, f"po_nas.runtime.executors.{_target}"))
