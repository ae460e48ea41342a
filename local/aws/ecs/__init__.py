"""The ECS control plane: services, deployments, tasks and their protection, for an agent that plays Fargate."""
