"""Write files safely, and read files that cannot be trusted."""
