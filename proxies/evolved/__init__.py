"""Evolved proxies: formulas over other proxies that genetic programming found (`po-nas evolve proxy`)."""
