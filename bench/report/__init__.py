"""How policies compare under every load, for the documentation."""
