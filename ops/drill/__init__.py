"""Tries a backup out: restores the newest snapshot beside the database, examines it and removes it."""
