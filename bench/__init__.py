"""The simulator and the benchmarks. Each figure is measured in the run that prints it."""
