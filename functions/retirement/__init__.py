"""The function that answers AWS's notices of retirement."""
