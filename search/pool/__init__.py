"""Where evaluations run: a pool takes functions of an `Evaluator` and gives futures."""
