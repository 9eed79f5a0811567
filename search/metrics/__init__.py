"""Ways to score samples; lower is better."""
