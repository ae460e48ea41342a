"""The deployed template, run whole on one machine."""
