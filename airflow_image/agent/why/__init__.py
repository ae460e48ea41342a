"""Why a task waits, and why it died: what is known of it, told as a story.

`database` and `fleet_reading` read what is known (`facts`), `telling` tells it, `routes` answers over HTTP.
"""
