"""diffusers: schedules as a scheduler for its pipelines, and its own schedulers read as schedules."""
