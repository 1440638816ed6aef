"""Comparisons of search methods: any methods × benchmarks × seeds, run cell by cell, their statistics and report."""
