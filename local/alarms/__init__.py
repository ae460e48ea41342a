"""What CloudWatch does with the stack's own metrics: it evaluates the alarms on them and notifies their topics."""
