"""Functions of the user as tools of a model: described, checked, asked about, run, and their results sent back."""
