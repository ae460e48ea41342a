"""The function that makes the worker services follow the backlog."""
