"""What happens when a model is trained: start, steps, validation, saving, resuming."""
