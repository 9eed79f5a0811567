"""Steps of a schedule, from numbers up: each file imports the ones above it only.

| file | what it is for |
|---|---|
| ``phi``, ``difference`` | φ functions; weights of finite differences |
| ``exponential``, ``quadrature`` | integrals of a step in λ, in t and in ρ |
| ``fresh`` | fresh noise of stochastic steps |
| ``step`` | `Step`: the choices of one step |
| ``weights`` | a step's choices as weights of states, outputs and noise |
| ``rules`` | which steps a schedule may have at its times |
| ``compiler`` | all steps as one tableau |
| ``shift`` | time shift, a choice of the whole schedule |
"""
