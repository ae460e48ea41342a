"""Spellings of the Execution API's health page, as the target of a request line or as HTTP/2's `:path`."""

SPELLINGS = (
    # as it is, and with what may follow a path
    "/execution/health",
    "/execution/health/",
    "/execution/health?a=/dags",
    "/execution/health#/dags",
    "/execution",
    # encodings: once, in part, wholly, twice, three times, in lower and upper case
    "/%65xecution/health",
    "/execution%2Fhealth",
    "/execution%2fhealth",
    "%2Fexecution%2Fhealth",
    "/%65%78%65%63%75%74%69%6F%6E/health",
    "/%65%78%65%63%75%74%69%6f%6e/%68%65%61%6c%74%68",
    "/%2565xecution/health",
    "/%252565xecution/health",
    "/execution%252Fhealth",
    "/executio%6E/health",
    "/%C5%BFxecution/health",
    "/execution%00/health",
    # case
    "/EXECUTION/health",
    "/Execution/health",
    "/eXecution/HEALTH",
    # dots
    "/./execution/health",
    "/../execution/health",
    "/dags/../execution/health",
    "/dags/%2e%2e/execution/health",
    "/dags/..%2Fexecution/health",
    "/static/..%2f..%2fexecution/health",
    "/api/v2/%2E%2E/%2E%2E/execution/health",
    "/fleet/..;/execution/health",
    # slashes
    "//execution/health",
    "///execution//health",
    "/%2Fexecution/health",
    "/%5Cexecution/health",
    "\\execution\\health",
    "/\\execution/health",
    "/dags\\..\\execution\\health",
    # parameters of a segment
    "/execution;a=b/health",
    "/;/execution/health",
    # targets that are no path, and what HTTP/2 lets `:path` be
    "http://localhost/execution/health",
    "http://localhost/dags/../execution/health",
    "execution/health",
    "*/execution/health",
    "/execution/health\x7f",
    "\x01/execution/health",
    "/exec\x02ution/health",
    "/execution/health\r\nX-A: b",
)
