"""Which tests take long: `make test` leaves them to `make test-long`, so that it takes minutes.

    python tests/long_tests.py REPORT.xml

writes `long_tests.txt` from what pytest measured of all of them on an idle machine:

    OMP_NUM_THREADS=1 python -m pytest -m 'not slow and not processes' -n auto --dist loadfile --junitxml=REPORT.xml

A test that is not in the list is a fast one. Parametrised tests are there by their parameters: each function keeps its
cheap ones among the fast tests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

LIST = Path(__file__).with_suffix(".txt")
LIMIT_S = 0.7


def long_tests() -> set[str]:
    """Node ids of the tests that take long."""
    return set(LIST.read_text(encoding="utf-8").splitlines())


def measured(report: Path) -> list[str]:
    """Node ids, in order, of the tests that took longer than `LIMIT_S`."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        if float(case.get("time", 0.0)) > LIMIT_S:
            *rooms, last = case.get("classname", "").split(".")
            # A test in a class has its name after that of the module.
            module, within = ([*rooms, last], []) if last.startswith("test_") else (rooms, [last])
            found.append("::".join(["/".join(module) + ".py", *within, case.get("name", "")]))
    return sorted(found)


if __name__ == "__main__":
    names = measured(Path(sys.argv[1]))
    LIST.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    print(f"{len(names)} tests in {LIST}")
