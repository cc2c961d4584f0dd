"""Regular expressions, character by character: which beginnings can still match."""
