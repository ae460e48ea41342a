"""CloudWatch's and X-Ray's endpoints for OpenTelemetry: decode what is sent, and keep the last of it."""
