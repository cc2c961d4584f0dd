"""Predict with integers only, so that every machine gets the same numbers; compress with them."""
