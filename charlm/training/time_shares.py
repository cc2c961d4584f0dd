"""The largest fractions of a time budget that its splits take; training gets what they leave."""

SCORING_SHARE = 0.2
"""For the final score."""
MIXING_SHARE = 0.3
"""For counting n-grams, mixing and scoring an ensemble."""
VALIDATION_SHARE = 0.05
"""For one validation."""
TAIL_SHARE = 0.15
"""For the end of a command besides scores."""
LEAST_SCORING_SHARE = 0.05
"""For the final score if training took longer than planned."""
OVERHEAD_SHARE = 0.5
"""Of what is left: for the start of a command, and for its end. A slower machine exceeds the
budget, so that the network learns something."""
