"""Write pages that stand alone: one HTML file each, with its styles, scripts, plots and data."""
