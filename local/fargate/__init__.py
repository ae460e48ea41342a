"""Plays Fargate: runs the deployed ECS services as processes of this machine."""
