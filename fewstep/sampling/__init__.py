"""Sampling: the loop, the plan of sums that runs a tableau, and the stored outputs of a run."""
