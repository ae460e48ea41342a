"""Plays Fargate: runs the deployed task definitions of ECS services as processes of this machine."""
