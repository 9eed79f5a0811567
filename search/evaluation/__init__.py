"""Where and on what schedules are evaluated: pools, noises, the teacher, early stopping."""
