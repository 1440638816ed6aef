"""Where tasks are done: the contract `Executor`, what executors of your own are made of, and the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from po_nas.registry import Registry, lazy
from po_nas.runtime.executors.base import Answer, Completed, Executor, ExecutorOptions, Task, Workload, timed_out

if TYPE_CHECKING:
    from po_nas.runtime.executors.lanes import LaneExecutor, LaneOptions
    from po_nas.runtime.executors.messages import answer_of, answered, built, recipe, text_of

__all__ = [
    "Answer",
    "Completed",
    "Executor",
    "ExecutorOptions",
    "LaneExecutor",
    "LaneOptions",
    "Task",
    "Workload",
    "answer_of",
    "answered",
    "built",
    "names",
    "recipe",
    "register",
    "registry",
    "text_of",
    "timed_out",
]

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

__getattr__ = lazy(__name__, lanes="LaneExecutor LaneOptions", messages="answer_of answered built recipe text_of")
