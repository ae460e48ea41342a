"""An operator's own history under candidate settings."""
