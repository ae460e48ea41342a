"""Runs the webserver on its two ports: `python -m agent.web`, with Airflow's own [api] settings.

With several `workers`, each is a process of its own that serves both ports; the kernel gives each connection to one.
"""

from __future__ import annotations

import os

import uvicorn
from airflow.configuration import conf
from setproctitle import setproctitle
from uvicorn.supervisors import Multiprocess

from agent import variables
from agent.addresses import listening_address

APPLICATION = "agent.web.application:make"


def main() -> None:
    """Serve until a signal ends it."""
    host = listening_address(os.environ)
    ports = [int(os.environ[name]) for name in (variables.PUBLIC_PORT, variables.PORT)]
    setproctitle(f"airflow api_server -- host:{host} ports:{','.join(map(str, ports))}")
    timeout_s = conf.getint("api", "worker_timeout")
    config = uvicorn.Config(
        APPLICATION,
        factory=True,
        lifespan="on",  # a webserver that cannot answer its first requests ends
        workers=conf.getint("api", "workers"),
        timeout_keep_alive=timeout_s,
        timeout_graceful_shutdown=timeout_s,
        timeout_worker_healthcheck=timeout_s,
        access_log=False,  # Airflow has its own
        log_config=None,
        log_level=conf.get("logging", "uvicorn_logging_level").lower(),
        proxy_headers=True,
    )
    sockets = [uvicorn.Config(APPLICATION, host=host, port=port, log_config=None).bind_socket() for port in ports]
    if config.workers > 1:
        Multiprocess(config, sockets=sockets).run()
    else:
        server = uvicorn.Server(config)
        server.run(sockets)
        if not server.started:
            raise SystemExit(3)  # as uvicorn's own command


if __name__ == "__main__":
    main()
