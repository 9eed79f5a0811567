"""One file per way to turn λ-gaps into the weights of a row."""
