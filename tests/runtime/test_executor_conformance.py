"""Every built-in executor passes the kit that plug-in authors run."""

from types import MappingProxyType

import pytest

from po_nas.testing import ExecutorConformance


class TestInline(ExecutorConformance):
    executor = "inline"


class TestSimulated(ExecutorConformance):
    executor = "simulated"


@pytest.mark.processes
class TestProcess(ExecutorConformance):
    executor = "process"


@pytest.mark.slow
class TestRay(ExecutorConformance):
    executor = "ray"
    options = MappingProxyType({"address": "local"})


@pytest.mark.slow
class TestSubmitit(ExecutorConformance):
    executor = "submitit"
    options = MappingProxyType({"cluster": "local"})
