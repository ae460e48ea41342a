"""Workers that wait for a scheduled run, on the local stack."""
