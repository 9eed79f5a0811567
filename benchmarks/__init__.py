"""Measures what the pages claim: ``python -m benchmarks.NAME`` repeats a table or a figure."""
