"""Where tasks are done: the contract `Executor` and its registry."""

from __future__ import annotations

from po_nas.registry import Registry
from po_nas.runtime.executors.base import Answer, Completed, Executor, ExecutorOptions, Task, Workload

__all__ = ["Answer", "Completed", "Executor", "ExecutorOptions", "Task", "Workload", "names", "register", "registry"]

registry: Registry[type[Executor]] = Registry("executor", "po_nas.executors")
register = registry.register
names = registry.names

registry.declare(
    "po_nas.runtime.executors",
    ("inline", "inline:InlineExecutor", "in this process, one after the other; batches are told together"),
    ("process", "process:ProcessExecutor", "worker processes on this machine, one for each GPU"),
    ("ray", "ray_cluster:RayExecutor", "workers of a Ray cluster (extra `ray`)"),
    ("simulated", "inline:SimulatedExecutor", "asynchronous workers on a virtual clock of recorded seconds"),
    ("submitit", "slurm:SubmititExecutor", "a Slurm job for each trial, through submitit (extra `slurm`)"),
)
