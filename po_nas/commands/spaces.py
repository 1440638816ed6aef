"""``po-nas spaces``."""

from __future__ import annotations

from typing import Annotated

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import add_list, print_table

app = typer.Typer(help="Search spaces.", no_args_is_help=True)
add_list(app, "po_nas.spaces", "search spaces")


@app.command()
def describe(name: str, plugin: Plugins = None) -> None:
    """Describe a space: size, operations, encodings."""
    from po_nas import spaces

    space = spaces.get(name)
    n, f, e = space.graph_shape
    rows = [
        ("name", space.name),
        ("architectures", "no end" if space.size is None else f"{space.size:,}"),
        ("enumerable", "yes" if space.enumerable else "no"),
        ("operations", ", ".join(space.operations)),
        ("graph encoding", f"nodes ({n}, {f}), adjacency ({n}, {n}), edges ({n}, {n}, {e}), mask ({n},)"),
        ("vector encoding", f"({space.vector_size},)"),
        ("reference", space.reference),
        ("notes", " ".join((type(space).__doc__ or "").split("References:")[0].split())),
    ]
    print_table(("", ""), rows)


@app.command()
def sample(
    name: str,
    count: Annotated[int, typer.Option(min=1, help="how many")] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    plugin: Plugins = None,
) -> None:
    """Print random architectures of a space, one string a line."""
    import numpy as np

    from po_nas import spaces

    space, rng = spaces.get(name), np.random.default_rng(seed)
    for _ in range(count):
        print(space.to_string(space.sample(rng)))
