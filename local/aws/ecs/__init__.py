"""The ECS control plane: services, deployments, tasks and their protection, for the agent that plays Fargate."""
