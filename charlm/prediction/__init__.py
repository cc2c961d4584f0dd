"""Score a text with a trained model, and generate text from it."""
