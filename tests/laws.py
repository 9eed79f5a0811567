"""The noise laws that tests loop over, by name."""

from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, VPLinear

__all__ = ["PROCESSES", "WIDER"]

PROCESSES = {"vp-linear": VPLinear(), "cosine": Cosine(), "discrete": Discrete.linear_betas()}

# and those that do not preserve variance, between ends of finite log-SNR
WIDER = PROCESSES | {
    "ve": VE(),
    "flow": Flow(shift=3.0, t_min=1e-3, t_max=0.99),
    "ddm": DDM(t_min=1e-4, t_max=0.99),
}
