"""Speed and memory of the framework against its targets; writes docs/results/speed.md.

    python perf/speed.py

Start-up figures are medians of five fresh processes. Everything runs on one thread. Figures depend on the machine; the
first line of the table is a yardstick (a fixed numpy product) to compare machines by.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _page

_TABLE = """
import resource, time, json, sys
def rss():
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6
before, started = rss(), time.perf_counter()
from po_nas import benchmarks
task = benchmarks.get({name!r})
task.optimum_validation
ready = time.perf_counter() - started
print(json.dumps(dict(s=ready, mb=rss() - before)))
"""

_QUERIES = """
import time, json
import numpy as np
from po_nas import benchmarks
task = benchmarks.get({name!r})
rng = np.random.default_rng(0)
sampled = [task.space.sample(rng) for _ in range(20_000)]
task.evaluate(sampled[0], seed=0)
started = time.perf_counter()
for a in sampled:
    task.evaluate(a, seed=0)
print(json.dumps(len(sampled) / (time.perf_counter() - started)))
"""

_GP = """
import json, time
import numpy as np
from po_nas import benchmarks
from po_nas.runtime.setup import make_searcher
from po_nas.runtime.config import SearchConfig
task = benchmarks.get("nasbench201/cifar10")
config = SearchConfig.model_validate(
    dict(benchmark=task.name, method=dict(name="gp_bo"), budget=dict(max_evaluations=200)))
searcher = make_searcher(config, task)
rng = np.random.default_rng(0)
seconds = {}
for n in (20, 50, 100, 150):
    searcher = make_searcher(config, task)
    for i in rng.choice(15_625, n, replace=False):
        a = task.space.at(int(i))
        searcher.tell_custom(a, task.evaluate(a))
    searcher._next = n
    runs = []
    for _ in range(3):
        started = time.perf_counter()
        searcher.propose(np.random.default_rng(1))
        runs.append(time.perf_counter() - started)
    seconds[n] = sorted(runs)[1]
print(json.dumps(seconds))
"""

_JOURNAL = """
import json, tempfile, time
from pathlib import Path
from po_nas.runtime.journal import Journal
with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.jsonl") as journal:
    event = dict(event="tell", number=0, architecture="|nor_conv_3x3~0|" * 6, metrics=dict(validation=91.0))
    times = []
    for _ in range(200):
        started = time.perf_counter()
        journal.append([event])
        times.append(time.perf_counter() - started)
print(json.dumps(sorted(times)[100] * 1e3))
"""

_YARDSTICK = """
import json, time
import numpy as np
a = np.random.default_rng(0).random((1000, 1000))
a @ a
started = time.perf_counter()
for _ in range(5):
    a @ a
print(json.dumps((time.perf_counter() - started) / 5 * 1e3))
"""


def python(code: str) -> object:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def command(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("po-nas")), *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def median(measure, n: int = 5) -> float:
    measure()
    return statistics.median(measure() for _ in range(n))


def main() -> None:
    name = "nasbench201/cifar10"
    rows = [("yardstick: 1000 × 1000 double product", f"{python(_YARDSTICK):.0f} ms", "")]
    rows.append(("`po-nas --help`", f"{median(lambda: command('--help')):.2f} s", "≤ 0.5 s"))
    table = [python(_TABLE.format(name=name)) for _ in range(5)]
    rows.append(
        (f"table of {name} ready (imports included)", f"{statistics.median(t['s'] for t in table):.2f} s", "≤ 0.5 s")
    )
    rows.append(
        (f"memory of {name} above the interpreter", f"{statistics.median(t['mb'] for t in table):.0f} MB", "≤ 100 MB")
    )
    for task in (name, "nasbench_graph/cora"):
        rows.append((f"queries of {task}", f"{python(_QUERIES.format(name=task)):,.0f} /s", "≥ 10,000 /s"))
    seconds = python(_GP)
    for n, spent in seconds.items():
        target = "≤ 2 s" if n == "100" else ""
        rows.append((f"gp_bo, one proposal at n = {n}, all 15,625 cells scored", f"{spent:.2f} s", target))
    with tempfile.TemporaryDirectory() as folder:
        runs = iter(range(100))

        def search() -> float:
            settings = (
                f"benchmark={name}",
                "method=random",
                "budget=100",
                "--quiet",
                "--out",
                f"{folder}/{next(runs)}",
            )
            return command("search", *settings)

        rows.append(("random search, 100 evaluations, start-up included", f"{median(search):.2f} s", "≤ 5 s"))
    rows.append(("journal append with fsync", f"{python(_JOURNAL):.2f} ms", "≤ 5 ms"))
    lines = [
        "# Speed and memory",
        "",
        f"Regenerate with `python perf/speed.py`. One thread, {_page.machine()}; the package versions of `constraints.txt`.",
        "",
        *_page.table(("what", "measured", "target"), rows, left=3),
    ]
    _page.publish("speed", lines)


if __name__ == "__main__":
    main()
