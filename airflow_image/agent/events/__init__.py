"""Sends state changes of runs and tasks to EventBridge."""
