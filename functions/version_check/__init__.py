"""The function that says whether every process runs the code that the webserver shows."""
