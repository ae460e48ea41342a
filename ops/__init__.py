"""Commands for those who operate a deployed stack."""
