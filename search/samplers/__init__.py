"""What proposes schedules: the study and its samplers."""
