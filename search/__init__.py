"""Finds schedules: teacher, baselines, guided search, confirmation."""

from search.find import find

__all__ = ["find"]
