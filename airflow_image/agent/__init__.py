"""The fleet agent: reports each container to the registry, obeys orders, forecasts, serves the Fleet page."""
