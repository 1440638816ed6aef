"""A source of proxy scores that moves a clock."""

from __future__ import annotations

from po_nas.core.proxy_source import ComputedProxySource, ScoringStep
from po_nas.testing.executors import CodeProxies


class TimedSource(CodeProxies, ComputedProxySource):
    """Each request takes `seconds`."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def compute_by(self, compute):
        pass

    def keep_in(self, path):
        pass

    def watch(self, watch):
        self.tell = watch

    def raw(self, architectures, names):
        count = len(architectures) * len(names)
        self.tell(ScoringStep(wanted=count))
        self.clock.now += self.seconds
        self.tell(ScoringStep(computed=count))
        return super().raw(architectures, names)
