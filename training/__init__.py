"""Trains the reference models of the zoo from seeded recipes."""
