"""What a search survives: kills, damaged journals, and inputs that are no inputs; writes docs/reliability.md.

    python perf/faults.py [kills=1000] [journals=5000] [inputs=50000] [--write]

**Kills.** Searches are ended by SIGKILL at random moments, again and again, and resumed until they are at their end;
their trials are compared with those of a search that nobody disturbed, and every outcome that was in the journal before
a kill must be there after it. Processes are forked from one that has imported everything, so that a kill hits the search
and not its imports; workers of the executor `process` are started anew each time.

**Journals.** A damage (bits, bytes, lines, digits, values, checksums; places drawn) is put into the journal of a
finished search, which is then read and resumed. Either a typed error says so, or the trials are those of the undisturbed
search: a torn last line is cut off, and a journal that ends early goes on.

**Inputs.** Settings, overrides, formulas, architectures and JSON files, made by cutting and joining good and hostile
pieces. They are read, or refused by an error of po-nas; an audit hook counts what would run code.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

import losses.classification
import po_nas
from po_nas import spaces
from po_nas.errors import PoNasError
from po_nas.formula import parse
from po_nas.reports.run import load_run
from po_nas.runtime.config import load_config
from proxies.evolved import proxy

OUT = Path(__file__).parents[1] / "docs" / "reliability.md"
TIMES = {"elapsed_s", "ask_s", "objective_s", "time", "resumed", "check"}


def trials(out: Path) -> list[dict]:
    events = [json.loads(line) for line in (out / "journal.jsonl").read_bytes().split(b"\n")[:-1]]
    return [{k: v for k, v in e.items() if k not in TIMES} for e in events if e["event"] in {"ask", "tell", "fail"}]


def result(out: Path, executor: str) -> object:
    """What must be the same; the order in which real workers finish is not."""
    found = trials(out)
    if executor != "process":
        return found
    return sorted(
        (e["number"], e["event"], e["architecture"], e.get("metrics", {}).get("validation", 0)) for e in found
    )


# -- kills ------------------------------------------------------------------------------------------------------------

SEARCHES = {
    ("random", "inline", 1): {"budget": 60},
    ("random", "simulated", 4): {"budget": 60},
    ("regularized_evolution", "inline", 3): {"budget": 60},
    ("regularized_evolution", "simulated", 4): {"budget": 60},
    ("gp_bo", "inline", 1): {"budget": 16, "method": {"initial": 6}},
    ("gp_bo", "simulated", 3): {"budget": 16, "method": {"initial": 6}},
    ("po_nas", "inline", 1): {"budget": 12, "method": {"initial": 4}},
    ("po_nas", "simulated", 2): {"budget": 12, "method": {"initial": 4}},
    ("pwlnas", "inline", 1): {"budget": 14, "method": {"initial": 8}},
    ("random", "process", 2): {"budget": 40},
}
SHARE = {"process": 0.04}
"""Of all kills, where a start takes seconds; the others share the rest."""


def forked(work: Callable[[], object]) -> int:
    """The number of a process that does `work` and ends."""
    number = os.fork()
    if number:
        # Both do it, for either may be first.
        with suppress(OSError):
            os.setpgid(number, number)
        return number
    code = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        torch.set_num_threads(1)
        work()
        code = 0
    except PoNasError as error:
        print(f"\n{error}", file=sys.stderr)
    finally:
        os._exit(code)


def go_on(out: Path, settings: dict) -> None:
    if (out / "config.yaml").exists():
        po_nas.resume(out)
    else:
        po_nas.search(out=out, **settings)


def killed(
    name: tuple[str, str, int], quota: int, draw: random.Random, folder: Path, show: Callable[[int], None]
) -> Counter:
    method, executor, batch = name
    found: Counter = Counter()
    while found["kills"] < quota:
        seed = draw.randrange(10**6)
        settings = {
            "benchmark": "nasbench201/cifar100",
            "method": {"name": method, **SEARCHES[name].get("method", {})},
            "budget": SEARCHES[name]["budget"],
            "executor": executor,
            "batch": batch,
            "seed": seed,
        }
        whole, out = folder / "whole", folder / "out"
        for path in (whole, out):
            shutil.rmtree(path, ignore_errors=True)
        started = time.perf_counter()
        os.waitpid(forked(partial(po_nas.search, out=whole, **settings)), 0)
        seconds = time.perf_counter() - started
        expected = result(whole, executor)
        for _ in range(10_000):
            before = trials(out) if (out / "journal.jsonl").exists() else []
            worker = forked(partial(go_on, out, settings))
            wait = seconds * draw.random() ** 2 * 0.7
            ended = (0, 0)
            until = time.perf_counter() + wait
            # The last round is left alone, and so is one that has all it wants.
            while found["kills"] >= quota or time.perf_counter() < until:
                ended = os.waitpid(worker, os.WNOHANG)
                if ended[0]:
                    break
                time.sleep(0.001)
            if not ended[0]:
                os.killpg(worker, signal.SIGKILL)
                os.waitpid(worker, 0)
                found["kills"] += 1
                show(1)
            elif os.waitstatus_to_exitcode(ended[1]):
                found["failed to go on"] += 1
                break
            after = trials(out) if (out / "journal.jsonl").exists() else []
            told = [event for event in before if event["event"] != "ask"]
            found["lost"] += sum(event not in after for event in told)
            if (out / "summary.json").exists():
                break
        found["searches"] += 1
        found["different"] += result(out, executor) != expected
    return found


# -- journals ---------------------------------------------------------------------------------------------------------


def damages(data: bytes, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    lines = data.splitlines(keepends=True)
    digits = [at for at in range(len(data)) if data[at : at + 1].isdigit()]
    while True:
        at = draw.randrange(len(data))
        row, other = sorted(draw.sample(range(len(lines)), 2))
        yield "a bit flipped", data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
        yield "a byte gone", data[:at] + data[at + 1 :]
        yield "zeros", data[:at] + bytes(min(64, len(data) - at)) + data[at + 64 :]
        yield "cut off", data[:at]
        yield "a line gone", b"".join(lines[:row] + lines[row + 1 :])
        yield "a line twice", b"".join(lines[: row + 1] + lines[row:])
        moved = list(lines)
        moved[row], moved[other] = moved[other], moved[row]
        yield "lines swapped", b"".join(moved)
        at = draw.choice(digits)
        digit = b"%d" % ((int(data[at : at + 1]) + draw.randint(1, 9)) % 10)
        yield "a digit changed", data[:at] + digit + data[at + 1 :]
        event = json.loads(lines[row])
        key = draw.choice(sorted(event))
        event[key] = draw.choice(
            [None, -1, 1e300, "", "x", [], {}, True, [[]], 10**30, "|none~0|", event.get("number")]
        )
        yield "a value changed", b"".join([*lines[:row], json.dumps(event).encode() + b"\n", *lines[row + 1 :]])
        constant = lines[row].replace(b":", draw.choice([b":NaN,", b":1e999,", b":" + b"9" * 5000 + b",", b":[[["]), 1)
        yield "no JSON", b"".join([*lines[:row], constant, *lines[row + 1 :]])
        unsealed = lines[row].partition(b',"check"')[0] + b"}\n"
        yield "a checksum gone", b"".join([*lines[:row], unsealed, *lines[row + 1 :]])
        yield "bytes put in", data[:at] + draw.randbytes(draw.randint(1, 30)) + data[at:]


def damaged(count: int, draw: random.Random, folder: Path, show: Callable[[int], None]) -> dict[str, Counter]:
    found: dict[str, Counter] = {}
    runs = []
    for method, executor, batch in (("random", "inline", 1), ("regularized_evolution", "simulated", 3)):
        whole = folder / f"{method}-{executor}"
        settings = {"method": method, "executor": executor, "batch": batch, "budget": 14, "seed": 4}
        po_nas.search(benchmark="nasbench201/cifar100", out=whole, **settings)
        data = (whole / "journal.jsonl").read_bytes()
        runs.append((whole, trials(whole), data, damages(data, draw)))
    for number in range(count):
        whole, expected, data, kinds = runs[number % len(runs)]
        kind, changed = next(kinds)
        row = found.setdefault(kind, Counter())
        row["journals"] += 1
        out = folder / "damaged"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(whole, out)
        (out / "summary.json").unlink()
        (out / "journal.jsonl").write_bytes(changed)
        try:
            shown = [t.architecture for t in load_run(out).trials]
            po_nas.resume(out)
            same = (
                trials(out) == expected
                and shown == [e["architecture"] for e in expected if e["event"] == "ask"][: len(shown)]
            )
            row["unchanged" if changed == data else "went on to the same end" if same else "silent"] += 1
        except PoNasError:
            row["refused"] += 1
        except Exception as error:
            row["tracebacks"] += 1
            print(f"\n{kind}: {type(error).__name__}: {error}", file=sys.stderr)
        show(1)
    return found


# -- inputs -----------------------------------------------------------------------------------------------------------

PIECES = (
    "benchmark: nasbench201/cifar10", "method: random", "budget: 5", "method: {name: gp_bo, initial: 4}", "seed: 0b_", "x: !!bool maybe",
    "training: {data: 2026-13-01}", "budget: 2026-13-01", "budget: " + "9" * 5000, "seed: 1e400", "budget: .nan", "budget: 0x_", "a: &a [*a]",
    "x: !!python/object/apply:os.system ['true']", "x: !!python/name:os.system", "!!python/object/new:os.system [true]", "plugins: true",
    "plugins: [1]", "proxies: {compute: [nwot, [1]]}", "executor: {name: 3}", "[" * 3000, "{" * 3000, "- " * 2000, "? ", ": ", "\t", "|", "%YAML 9.9",
    "---", "...", "!!int", "!!timestamp 2026-99-99", "!!binary x", "!!set {a}", "<<: 1", "\x00", "\ud800", "é", "'", '"', "warm_start: {a: 1}", "tracking: 3",
)  # fmt: skip
FORMULAS = (
    "x", "y", "1", "9" * 400, "1e999", "-", "+", "*", "(", ")", "add(", "mul(x, y)", "**", "/", "lambda: 1", "__import__('os').system('true')",
    "x.__class__", "[x for x in y]", "'a'", "f'{x}'", "x if y else 1", "0x" + "f" * 300, ",", "neg(x)", "\n", "\x00", "not x", "await x", "(" * 500, "1j", "True", "...",
)  # fmt: skip
JSONS = (
    '{"formula": "p_t"}', '{"formula": ', '"' + "9" * 100, "{", "}", "[" * 20_000, "]", "null", "NaN", '{"formula": {"a": 1}}', '"sign": 3', "\x00", "1e999", ",", ":",
    '{"name": "x", "leaves": [], "formula": "nwot", "references": {}, "default": ""}', "9" * 5000,
)  # fmt: skip
CODE = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"}


def joined(pieces: tuple[str, ...], between: str, draw: random.Random) -> str:
    text = between.join(draw.choice(pieces) for _ in range(draw.randint(1, 5)))
    if draw.random() < 0.4:
        at = draw.randrange(len(text) + 1)
        text = (
            text[:at]
            + draw.choice(["", "{", "[", "!", "&", "*", "\\", "\x07", "#", "\u2028"])
            + text[at + draw.randint(0, 4) :]
        )
    return text


def fuzzed(count: int, draw: random.Random, folder: Path, show: Callable[[int], None]) -> dict[str, Counter]:
    executed: Counter = Counter()
    watching = []
    sys.addaudithook(lambda event, _: executed.update([event]) if watching and event in CODE else None)
    path = folder / "input"
    names = spaces.names()

    def settings() -> None:
        path.write_bytes(joined(PIECES, "\n", draw).encode("utf-8", "surrogatepass"))
        load_config(path, [])

    def overrides() -> None:
        pairs = [piece.replace(": ", "=", 1) for piece in (joined(PIECES, " ", draw) for _ in range(2))]
        load_config(None, pairs)

    def formula() -> None:
        parse(
            joined(FORMULAS, draw.choice(["", " ", " + "]), draw),
            functions={"add": 2, "mul": 2, "sub": 2, "neg": 1},
            variables=["x", "y"],
        )

    def architecture() -> None:
        space = spaces.get(draw.choice(names))
        import numpy as np

        text = space.to_string(space.sample(np.random.default_rng(draw.randrange(2**32))))
        at = draw.randrange(len(text))
        space.from_string(
            text[:at]
            + draw.choice(["", "9", "|", "(", "nan", "-1", "\x00", "9" * 5000, "[" * 5000])
            + text[at + draw.randint(0, 3) :]
        )

    def files() -> None:
        path.write_bytes(joined(JSONS, "", draw).encode("utf-8", "surrogatepass"))
        if draw.random() < 0.5:
            losses.classification.formula_of(path)
        else:
            proxy.load(path)

    kinds = {
        "configurations": settings,
        "overrides": overrides,
        "formulas": formula,
        "architectures": architecture,
        "JSON files": files,
    }
    found = {name: Counter() for name in kinds}
    for number in range(count):
        name, read = list(kinds.items())[number % len(kinds)]
        row = found[name]
        row["inputs"] += 1
        watching.append(1)
        try:
            read()
            row["read"] += 1
        except PoNasError:
            row["refused"] += 1
        except Exception as error:
            row["tracebacks"] += 1
            print(f"\n{name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        finally:
            watching.clear()
        show(1)
    found["all"] = Counter({"code executed": sum(executed.values())})
    return found


TESTED = """
## Tested with every change

| fault | where |
|---|---|
| full disk: journal, lock's holder, results of a study, public data, checkpoints | `tests/runtime/test_resume.py`, `tests/runtime/test_faults.py`, `tests/benchmarks/test_fetch.py`, `tests/commands/test_train.py` |
| a write that is refused: journal, summary, configuration, artifacts, report | `tests/runtime/test_faults.py` |
| two processes in one run directory | `tests/runtime/test_faults.py`, `tests/commands/test_command_line.py` |
| an evaluation that ends its process (`os._exit`, a crash of native code), inline and simulated: failed after two deaths | `tests/runtime/test_faults.py` |
| lost workers, time-outs, a killed coordinator: processes, Ray, Slurm | `tests/runtime/test_workers.py`, `test_ray.py`, `test_slurm.py` (slow tier) |
| a dead worker in any study | `tests/runtime/test_study.py`, `tests/compare/test_run.py`, `tests/research` (slow tier) |
| hostile pickles, dtypes, image tables, idx files, damaged tables | `tests/benchmarks/test_readers.py`, `test_fetch.py`, `tests/training/test_images.py` |
| records, summaries and explanations that po-nas did not write | `tests/reports/test_run.py` |
| hostile text in every field of every page | `tests/reports/test_escaping.py` |
| plug-ins that somebody else's run directory or study names | `tests/runtime/test_trusted_plugins.py` |
"""


# -- the page ---------------------------------------------------------------------------------------------------------


class Bar:
    """What is done of a part, with an ETA, on one line of stderr."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done, self.began, self.shown = name, total, 0, time.perf_counter(), 0.0

    def __call__(self, steps: int) -> None:
        self.done += steps
        now = time.perf_counter()
        if now - self.shown > 1 or self.done == self.total:
            self.shown = now
            left = (now - self.began) / max(1, self.done) * (self.total - self.done)
            print(
                f"\r{self.name}: {self.done}/{self.total}, {left:,.0f} s left   ", end="", file=sys.stderr, flush=True
            )


def main() -> None:
    given = dict(argument.split("=") for argument in sys.argv[1:] if "=" in argument)
    counts = {
        name: int(given.get(name, default))
        for name, default in (("kills", 1000), ("journals", 5000), ("inputs", 50_000))
    }
    draw = random.Random(0)
    torch.set_num_threads(1)
    lines = [
        "# What a search survives",
        "",
        f"Regenerate with `python perf/faults.py {' '.join(f'{k}={v}' for k, v in counts.items())} --write`; what is done is described there. "
        f"Python {platform.python_version()}, torch {torch.__version__.partition('+')[0]}, {platform.machine()}.",
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if counts["kills"]:
            lines += [
                "",
                "## Killed and resumed",
                "",
                "| method | executor | workers | kills | searches | outcomes lost | other trials | failed to go on |",
                "|---|---|---:|---:|---:|---:|---:|---:|",
            ]
            bar, total = Bar("kills", counts["kills"]), Counter()
            rest = [name for name in SEARCHES if name[1] not in SHARE]
            for name in SEARCHES:
                share = SHARE.get(name[1], (1 - sum(SHARE.values())) / len(rest))
                row = killed(name, -(-int(counts["kills"] * share * 1000) // 1000) or 1, draw, folder, bar)
                total += row
                lines.append(
                    f"| {' | '.join(map(str, name))} | {row['kills']} | {row['searches']} | {row['lost']} | {row['different']} | {row['failed to go on']} |"
                )
            lines.append(
                f"| all | | | **{total['kills']}** | {total['searches']} | **{total['lost']}** | **{total['different']}** | **{total['failed to go on']}** |"
            )
        if counts["journals"]:
            table = damaged(counts["journals"], draw, folder, Bar("journals", counts["journals"]))
            keys = ("journals", "refused", "went on to the same end", "unchanged", "silent", "tracebacks")
            lines += ["", "## Damaged journals", "", f"| damage | {' | '.join(keys)} |", "|---|" + "---:|" * len(keys)]
            for name, row in table.items():
                lines.append(f"| {name} | {' | '.join(str(row[key]) for key in keys)} |")
            lines.append(f"| all | {' | '.join(f'**{sum(row[key] for row in table.values())}**' for key in keys)} |")
        if counts["inputs"]:
            table = fuzzed(counts["inputs"], draw, folder, Bar("inputs", counts["inputs"]))
            executed = table.pop("all")["code executed"]
            keys = ("inputs", "read", "refused", "tracebacks")
            lines += [
                "",
                "## Inputs that are none",
                "",
                f"| kind | {' | '.join(keys)} |",
                "|---|" + "---:|" * len(keys),
            ]
            for name, row in table.items():
                lines.append(f"| {name} | {' | '.join(str(row[key]) for key in keys)} |")
            lines += [
                f"| all | {' | '.join(f'**{sum(row[key] for row in table.values())}**' for key in keys)} |",
                "",
                f"Code executed: **{executed}** times.",
            ]
    lines += TESTED.rstrip().split("\n")
    print("", file=sys.stderr)
    print("\n".join(lines))
    if "--write" in sys.argv:
        OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
