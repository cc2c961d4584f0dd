"""What a run folder contains."""
