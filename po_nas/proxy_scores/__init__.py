"""Where the score of a proxy for an architecture comes from: recorded, computed, packaged, or several of these.

`po_nas.core.proxy_source.ProxySource` is the contract; an objective hands its source over as `Objective.proxies`.
"""
