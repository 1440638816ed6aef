"""``po-nas import``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from po_nas.commands.options import Plugins
from po_nas.errors import ConfigError

if TYPE_CHECKING:
    from po_nas.runtime.imports.run import Imported
    from po_nas.runtime.own_space import SpaceLike

__all__ = ["import_evaluations"]

_SHOWN = 20
"""Evaluations that were left out, as far as they are printed; the run directory lists all."""


def import_evaluations(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="SQLite or journal file of Optuna, root directory of NePS, .csv or .parquet file with a row each",
        ),
    ],
    space: Annotated[
        str, typer.Option(help="declared space: the name in a --plugin, or a YAML file with a declaration or a search")
    ],
    out: Annotated[Path, typer.Option(help="run directory to write")],
    value: Annotated[
        str | None, typer.Option(help="what is optimised: a column, a metric or user attribute, an entry of info_dict")
    ] = None,
    maximize: Annotated[
        bool | None, typer.Option("--maximize/--minimize", help="whether higher is better, where SOURCE does not say")
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW", help="name of a choice; 'units_{}=width' for layers (repeatable)"),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="a name that is no choice; * stands for any characters (repeatable)")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="leave out what is otherwise (repeatable)")
    ] = None,
    fill: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="value of a choice that SOURCE does not have (repeatable)"),
    ] = None,
    categories: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B,…", help="NePS: values of a categorical choice, in its order (repeatable)"),
    ] = None,
    study: Annotated[str | None, typer.Option(help="Optuna: which study, where the file holds several")] = None,
    cost: Annotated[str | None, typer.Option(help="a column with seconds")] = None,
    plugin: Plugins = None,
) -> None:
    """Import: evaluations made elsewhere as a run, from which a search can start (warm_start=DIR)."""
    from po_nas.runtime.imports.run import import_evaluations as read_and_write

    given = _space(space)
    found = read_and_write(
        source,
        space=given,
        out=out,
        value=value,
        maximize=maximize,
        rename=_pairs("map", rename),
        ignore=tuple(ignore or ()),
        where=_pairs("where", where),
        fill=_pairs("set", fill),
        categories={name: _values(text) for name, text in _pairs("categories", categories).items()},
        study=study,
        cost=cost,
    )
    _print(found, out)


def _space(given: str) -> SpaceLike:
    """A name, or the declaration in a YAML file, which may be that of a search."""
    path = Path(given)
    if path.suffix not in {".yaml", ".yml", ".json"}:
        return given
    from po_nas.core.settings import read_yaml
    from po_nas.registry import load_plugin
    from po_nas.runtime.config import plugins_of

    content = read_yaml(path, "space")
    found = content.get("space", content) if isinstance(content, dict) else content
    if isinstance(found, str):
        for name in plugins_of(content, path.parent):
            load_plugin(name)
        return found
    if not isinstance(found, dict) or "declare" not in found:
        raise ConfigError("space", path, "holds no declaration; it needs declare: and choices:, perhaps under space:")
    # Networks are not needed, and the function that builds them is code.
    return {key: item for key, item in found.items() if key != "network"}


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for text in given or ():
        name, sign, item = text.partition("=")
        if not sign or not name:
            raise ConfigError(f"--{option}", text, "is no NAME=VALUE")
        found[name] = item
    return found


def _values(text: str) -> list[Any]:
    """The values in a text, as YAML reads them: ``relu,gelu`` or ``[8, 16]``."""
    from po_nas.core.settings import yaml_value

    found = yaml_value(text if text.lstrip().startswith("[") else f"[{text}]", "--categories", text)
    return found if isinstance(found, list) else [found]


def _print(found: Imported, out: Path) -> None:
    from po_nas.runtime.escaping import terminal_text

    def say(key: str, text: str) -> None:
        print(f"{key:<9} {terminal_text(text)}")

    what = [f"{found.failed} failed"] * bool(found.failed) + [f"{found.repeats} more averaged"] * bool(found.repeats)
    said = f" ({', '.join(what)})" if what else ""
    noun = "evaluation" if found.evaluations == 1 else "evaluations"
    say("imported", f"{found.evaluations} {noun}{said} from {found.source}")
    if found.left_out:
        say("left out", str(len(found.left_out)))
        for one in found.left_out[:_SHOWN]:
            say("", f"{one.where}: {one.reason}")
        if len(found.left_out) > _SHOWN:
            say("", f"… all of them in {out / 'artifacts' / 'left_out.jsonl'}")
    if found.result.incumbent is not None:
        say("best", f"{found.result.validation:g}  {found.result.incumbent}")
    say("go on", f"po-nas search … warm_start={out}")
