"""Plays Lambda and EventBridge: the deployed functions, invoked by the deployed schedules and event rules."""
