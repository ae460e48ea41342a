"""Flower's configuration file, which Flower executes at its start.

Its metrics need the sign-in of its other pages, and its connections to the broker do not hang.
"""

from flower.views.monitor import Metrics
from tornado.web import authenticated

from agent import connections

Metrics.get = authenticated(Metrics.get)
connections.install()
