"""What the tasks that run cost the webserver: heartbeats, starts and ends, and connections to the database."""
