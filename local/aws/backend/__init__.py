"""What all parts of the local AWS API share: moto's backends, settings, errors."""
