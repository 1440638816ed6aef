"""``po-nas evolve``: what people design by hand, found by evolution."""

from __future__ import annotations

import typer

from po_nas.commands import evolve_loss, evolve_proxy

app = typer.Typer(
    help="Evolve zero-cost proxies (proxy) or classification losses (loss) as readable formulas.",
    no_args_is_help=True,
)
app.command("proxy")(evolve_proxy.proxy)
app.command("reference")(evolve_proxy.reference)
app.command("loss")(evolve_loss.loss)
