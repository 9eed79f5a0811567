"""Closed-form and gradient fits of a schedule: numerics alone, no search policy."""
