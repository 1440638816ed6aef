"""``po-nas profile``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from po_nas.commands.example_network import SIZE, example_network
from po_nas.commands.options import Plugins
from po_nas.commands.tables import print_table

__all__ = ["profile"]


def profile(
    space: Annotated[str, typer.Argument(help="search space, such as nasbench201")],
    architecture: Annotated[str, typer.Argument(help="the architecture's string; 'random' draws one")],
    samples: Annotated[int, typer.Option(min=1, help="size of the batch")] = 1,
    size: Annotated[int | None, typer.Option(min=1, help=SIZE)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
    seconds: Annotated[float, typer.Option(min=0.001, help="spent on timing")] = 2.0,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="key=value of the network")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of weights and made-up inputs")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False,
    plugin: Plugins = None,
) -> None:
    """Profile a network: parameters, operations, memory, and its latency on this machine."""
    import torch

    from proxies.counting import count_operations, count_parameters
    from proxies.profiling import device_here, measure_latency, peak_memory

    place = device_here(device)
    found = example_network(space, architecture, samples=samples, size=size, options=option, seed=seed)
    network, batch = found.network.to(place), found.batch.to(place, torch.float32)
    latency = measure_latency(network, batch, seed=seed, threads=threads, seconds=seconds)
    told: dict[str, float] = {
        "params": count_parameters(network, trainable=False),
        "flops": count_operations(network, *batch.inputs).total / len(batch),
        "memory_mb": peak_memory(network, batch, seed=seed),
        "latency_ms": latency.median_ms,
        "latency_iqr_ms": latency.iqr_ms,
    }
    if as_json:
        print(json.dumps({"architecture": found.architecture, **told, **latency._asdict()}))
        return
    print(found.architecture)
    of_batch = f"a batch of {latency.samples} on {latency.device}, {latency.threads} threads, {latency.passes} passes"
    print_table(
        ("quantity", "value", "of"),
        [
            ("parameters", f"{told['params']:,}", ""),
            ("FLOPs", f"{told['flops']:,.0f}", "multiply-accumulates of one sample"),
            ("memory", f"{told['memory_mb']:.3g} MB", f"most that tensors take, a batch of {latency.samples}"),
            ("latency", f"{latency.median_ms:.4g} ms", f"median of {of_batch}"),
            ("", f"{latency.iqr_ms:.2g} ms", "interquartile range"),
            ("throughput", f"{1e3 * latency.samples / latency.median_ms:.4g} samples/s", ""),
        ],
    )
