"""Comparisons of search methods: any methods × benchmarks × seeds, run cell by cell, and what can be said of them."""
