"""The largest fractions of a time budget for each use; training gets the rest."""

SCORING_SHARE = 0.2
"""For the final score."""
MIXING_SHARE = 0.3
"""For counting n-grams, mixing and scoring an ensemble."""
EXTRA_COUNTING_SHARE = 0.1
"""For counting, besides that: a long text gains more from its counts than from as much training."""
VALIDATION_SHARE = 0.05
"""For one validation."""
TAIL_SHARE = 0.15
"""For the end of a command besides scores."""
LEAST_SCORING_SHARE = 0.05
"""For the final score if training took longer than planned."""
START_SHARE, END_SHARE = 0.6, 0.4
"""Of what is left: for the start of a command, then for its end. On a slower machine the command
exceeds its budget, so that the network learns something."""
