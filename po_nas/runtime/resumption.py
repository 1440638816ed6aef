"""How a run is resumed: by a command, or in Python with what the record cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from po_nas import benchmarks, methods
from po_nas.errors import ConfigError

__all__ = ["Resumption", "check_given", "way_on"]


class Resumption(BaseModel):
    """The function that resumes a run in Python, and the arguments that it needs besides the directory.

    `formulas` are the SHA-256 of the plug-ins that are no code, by their paths, as they were when the run began.
    """

    model_config = ConfigDict(frozen=True)

    by: str
    arguments: tuple[str, ...] = ()
    formulas: dict[str, str] = {}


def check_given(directory: Path, config: Mapping[str, Any], said: Resumption | None, **given: bool) -> None:
    """Raise `ConfigError` where a run is to go on without an argument that it began with, and that trials depend on.

    `given` says of arguments whether they are given now; example inputs must not be if they were not then.
    """
    if said is None:
        return
    for name, now in given.items():
        then = name in said.arguments
        if then and not now:
            raise ConfigError(name, "", f"was given when the run began; go on with: {way_on(directory, config, said)}")
        if now and not then and name == "example_inputs":
            raise ConfigError(name, "", "was not given when the run began; leave it out")


def way_on(directory: Path, config: Mapping[str, Any], said: Resumption | None) -> str:
    """What resumes a run: the command where the record has all that it needs, else Python.

    `config` is the search as ``config.yaml`` has it, `said` what its record says, None in runs of version 0.1.
    """
    named = config.get("objective") is not None or config["benchmark"] in benchmarks.registry
    if said is None:
        in_python = f"po_nas.resume({str(directory)!r}, objective=…), or po_nas.Session.resume({str(directory)!r})"
        return f"po-nas resume {directory}" if named else in_python
    search = said.by == "po_nas.resume"
    if search and named and not said.arguments:
        method = config["method"]["name"]
        rest = "" if method in methods.registry else f" --plugin FILE, which registers the method {method!r}"
        return f"po-nas resume {directory}{rest}"
    arguments = said.arguments
    if search and not named and "objective" not in arguments:
        arguments = ("objective", *arguments)
    return f"{said.by}({', '.join([repr(str(directory)), *(f'{name}=…' for name in arguments)])})"
