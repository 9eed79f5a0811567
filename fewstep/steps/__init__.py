"""Steps of a schedule: each file imports only files above it in this table.

| file | content |
|---|---|
| ``phi``, ``difference`` | φ functions; weights of finite differences |
| ``exponential``, ``quadrature`` | integrals of a step in λ, in t and in ρ |
| ``fresh`` | fresh noise of stochastic steps |
| ``step`` | `Step`: the choices of one step |
| ``weights`` | weights of states, outputs and noise in a step |
| ``rules`` | validity of times and steps |
| ``compiler`` | all steps as one tableau |
| ``shift`` | time shift, a choice of the whole schedule |
"""
