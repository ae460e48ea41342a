"""Flower's configuration file, which Flower executes at its start: its metrics need the sign-in of its other pages."""

from flower.views.monitor import Metrics
from tornado.web import authenticated

Metrics.get = authenticated(Metrics.get)
