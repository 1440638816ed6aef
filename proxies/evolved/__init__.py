"""Evolved metrics: formulas over other proxies that genetic programming found (`po-nas evolve proxy`)."""
