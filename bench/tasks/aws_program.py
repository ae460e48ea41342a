"""A program in place of AWS, in a process of its own. It keeps nothing.

It answers for task metadata and protection, a bucket, and telemetry.
`python aws_program.py PORT`. Standard library only. It answers in well under a millisecond, and its processor time
belongs to neither system.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping

HOST = "127.0.0.1"
LONGEST_HEAD = 1 << 16  # bytes
TASK_ARN = "arn:aws:ecs:us-east-1:123456789012:task/bench/{}"
OK, NOT_FOUND = "200 OK", "404 Not Found"
NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code></Error>"

Answer = tuple[str, str, bytes]


def answer(method: str, path: str, body: bytes) -> Answer:
    """Return status, type and content for a request.

    `/v4/TASK/...` is metadata, `/api/TASK/...` protection, `/v1/...` telemetry, every other path S3.
    """
    match path.strip("/").split("/"):
        case ["v4", task, *_]:
            return OK, "application/json", json.dumps({"TaskARN": TASK_ARN.format(task)}).encode()
        case ["api", task, *_]:
            enabled = bool(json.loads(body)["ProtectionEnabled"])
            state = {"protection": {"TaskArn": TASK_ARN.format(task), "ProtectionEnabled": enabled}}
            return OK, "application/json", json.dumps(state).encode()
        case ["v1", "metrics" | "traces"]:
            return OK, "application/x-protobuf", b""
        case _ if method == "PUT":
            return OK, "application/xml", b""
        case _:
            return NOT_FOUND, "application/xml", NO_SUCH_KEY


async def _body(headers: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    chunks = []
    while size := int(await reader.readline(), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    while (await reader.readline()).strip():
        pass  # a trailer
    return b"".join(chunks)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection until it is closed."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
            method, path, _ = head[0].split(" ", 2)
            fields = (line.partition(":") for line in head[1:] if ":" in line)
            headers = {name.strip().lower(): value.strip() for name, _, value in fields}
            status, kind, content = answer(method, path, await _body(headers, reader, writer))
            lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}", 'ETag: "0"')
            writer.write("\r\n".join((*lines, "", "")).encode() + (b"" if method == "HEAD" else content))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    """Serve until a signal ends the process."""
    server = await asyncio.start_server(serve, HOST, port, limit=LONGEST_HEAD)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
