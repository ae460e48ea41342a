"""Tests DAG files before they are delivered."""
