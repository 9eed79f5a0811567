"""A diffusers pipeline as a denoiser, by its own code; see `fewstep.diffusers.from_pipeline`."""
