"""The sections that every service and function builds on."""

from dataclasses import dataclass

from troposphere.sns import Topic

from stack.lib.settings import Settings
from stack.sections.broker import Broker
from stack.sections.cluster import Cluster
from stack.sections.dags import Dags
from stack.sections.database import Database
from stack.sections.logs import Logs
from stack.sections.network import Network
from stack.sections.secrets import Secrets
from stack.sections.work_limits import WorkLimits
from stack.sections.xcoms import XComs


@dataclass(frozen=True, kw_only=True)
class Foundation:
    settings: Settings
    network: Network
    topic: Topic
    database: Database
    broker: Broker
    logs: Logs
    xcoms: XComs
    dags: Dags
    secrets: Secrets
    cluster: Cluster
    work_limits: WorkLimits
