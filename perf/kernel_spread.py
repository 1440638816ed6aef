"""How far proxy scores of one network differ between the kernels of processors; writes docs/results/kernel_spread.md.

    python perf/kernel_spread.py [--write]

A sample of each score table that comes with the package (networks of 12 random architectures for each task, the
smallest of 36; 6 of 18 for graphs) is scored again in a process for each set of kernels: AVX-512 (where the processor
has it), AVX2, and SSE 4.1 for convolutions with plain C++ for the rest. A difference is |a - b| / max(|a|, s), where s is
the median distance of the table's scores from their median: some scores are sums of terms of both signs. Graph networks
with ARMA are left out: their scores are computed in another way than when the table was made (docs/proxies.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files

import _page
import numpy as np
import torch

from po_nas import spaces
from po_nas.proxy_scores.packaged import packaged
from po_nas.proxy_scores.tabulate import ScoreRecipe, score_sample

KERNELS = {
    "AVX-512": {},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "SSE 4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
}


def sample(space: str) -> dict[str, list[float]]:
    """Scores by ``task|row|name``: now, and as shipped with the spread of the column."""
    table = packaged(space)
    recipe = ScoreRecipe.model_validate(table.made_by["recipe"])
    every = list(spaces.get(space).enumerate())
    rng = np.random.default_rng(1)
    scores = {}
    for task, columns in table.tasks.items():
        count = 6 if space.startswith("nasbench_graph") else 12
        drawn = [row for row in rng.permutation(len(table.classes)) if first(table.classes, row)]
        rows = [row for row in drawn if "arma" not in spaces.get(space).to_string(every[row])][: 3 * count]
        rows = sorted(rows, key=lambda row: size(space, every[row]))[:count]
        results = score_sample(recipe, task, tuple(columns), [every[row] for row in rows])
        for result, row in zip(results, rows, strict=True):
            for name, value in result.values.items():
                kept = table.column(task, name)
                spread = float(np.nanmedian(np.abs(kept - np.nanmedian(kept))))
                scores[f"{task}|{row}|{name}"] = [float(value), float(kept[row]), spread]
    return scores


def first(classes: np.ndarray, row: int) -> bool:
    return not (classes[:row] == classes[row]).any()


def size(space: str, architecture) -> int:
    network = spaces.get(space).build(
        architecture, device="meta", **({"num_classes": 10} if space == "nasbench201" else {})
    )
    return sum(parameter.numel() for parameter in network.parameters())


def main() -> None:
    if "--sample" in sys.argv:
        print(json.dumps(sample(sys.argv[-1])))
        return
    table_names = sorted(
        path.name.removesuffix("_scores.npz")
        for path in files("po_nas.proxy_scores").iterdir()
        if path.name.endswith("_scores.npz") and path.name != "suite_scores.npz"
    )
    here = torch.backends.cpu.get_cpu_capability()
    used = {name: env for name, env in KERNELS.items() if name != "AVX-512" or here == "AVX512"}
    rows = []
    for space in table_names:
        found = {}
        for name, env in used.items():
            command = [sys.executable, __file__, "--sample", space]
            done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=True)
            found[name] = json.loads(done.stdout.splitlines()[-1])
        names = sorted({key.rpartition("|")[2] for key in found["AVX2"]})
        for name in names:
            cells = []
            for scores in found.values():
                gaps = [
                    abs(value - kept) / max(abs(kept), spread)
                    for key, (value, kept, spread) in scores.items()
                    if key.rpartition("|")[2] == name
                    and np.isfinite([value, kept]).all()
                    and max(abs(kept), spread) > 0
                ]
                cells.append(f"{np.median(gaps):.0e} / {np.quantile(gaps, 0.9):.0e} / {max(gaps):.0e}" if gaps else "")
            rows.append((space, name, *cells))
    page = [
        "# Proxy scores under the kernels of different processors",
        "",
        f"Regenerate with `python perf/kernel_spread.py --write`. torch {torch.__version__.partition('+')[0]}, one thread. Differences from the scores "
        "that come with the package, computed with AVX-512 kernels and kept to 16 bits (1e-5): median / 90th percentile / largest of the sample.",
        "",
        "A ReLU whose input is zero up to rounding passes a gradient under one set of kernels and none under another. "
        "That moves the scores made of gradients for some networks, and no others.",
        "",
        *_page.table(("table", "proxy", *used), rows, left=2 + len(used)),
    ]
    _page.publish("kernel_spread", page, "--write" in sys.argv)


if __name__ == "__main__":
    main()
