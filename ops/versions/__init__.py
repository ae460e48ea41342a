"""The version check as a gate that a pipeline waits on."""
