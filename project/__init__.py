"""What every command of the project needs: paths, environments, errors, waiting, the running local stack."""
