"""The contract between image and functions: the fleet registry in the broker's Redis, pools, queues, forecasts."""
