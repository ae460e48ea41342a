"""What the Fleet page costs the webserver."""
