"""What only the lessons need: checks, widgets, figures, the notebooks themselves."""
