"""Everything that touches the inner parts of ipykernel and IPython."""
