"""Servers that stand in for RDS, ElastiCache and the load balancer, on 127.0.0.1 only."""
