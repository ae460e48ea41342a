"""The function that checks whether every process runs the code that the webserver shows."""
