"""How a prompt is made: values are described, names are replaced, and a budget is kept."""
