"""A web server on this machine whose files misbehave on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    range: str | None
    authorization: str | None
    accept: str


@dataclass
class Web:
    """The server; each path has a list of answers, of which the last one is given for ever."""

    port: int = 0
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def at(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.url + path

    def requests_for(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]


class Handler(BaseHTTPRequestHandler):
    """Looks the answer up; says nothing on the console."""

    web: Web
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = self.headers
        self.web.asked.append(
            Asked(self.path, headers["Range"], headers["Authorization"], headers["Accept"] or "")
        )
        answers = self.web.answers.get(self.path, [status(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with suppress(ConnectionError):
            answer(self)

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that turns away is what many tests are about
            super().handle()

    def log_message(self, *_: object) -> None:
        return

    def begin(self, code: int, length: int | None, **headers: str) -> None:
        self.send_response(code)
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def offset(self) -> int:
        text = self.headers["Range"] or "bytes=0-"
        return int(text.removeprefix("bytes=").partition("-")[0])


def whole(data: bytes, kind: str = "application/octet-stream") -> Answer:
    """The file; the rest of it when a range is asked for."""

    def answer(handler: Handler) -> None:
        start = handler.offset()
        if not handler.headers["Range"]:
            handler.begin(200, len(data), Content_Type=kind)
            handler.wfile.write(data)
        elif start >= len(data):
            handler.begin(416, 0, Content_Range=f"bytes */{len(data)}")
        else:
            rest = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.begin(206, len(data) - start, Content_Range=rest)
            handler.wfile.write(data[start:])

    return answer


def cut(data: bytes, after: int, ranges: bool = True) -> Answer:
    """Announces the file, gives ``after`` more bytes of it and breaks the connection."""

    def answer(handler: Handler) -> None:
        start = handler.offset() if ranges else 0
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        extra = {"Content_Range": span} if start else {}
        handler.begin(206 if start else 200, len(data) - start, **extra)
        handler.wfile.write(data[start : start + after])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def without_ranges(data: bytes) -> Answer:
    """The whole file, whatever range is asked for."""

    def answer(handler: Handler) -> None:
        handler.begin(200, len(data))
        handler.wfile.write(data)

    return answer


def without_length(data: bytes) -> Answer:
    """The whole file, its length kept secret."""

    def answer(handler: Handler) -> None:
        handler.begin(200, None)
        handler.wfile.write(data)

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.begin(code, 0, **headers)

    return answer


def moved(to: str) -> Answer:
    return status(302, Location=to)


def slow(data: bytes, chunks: int, pause: float) -> Answer:
    """The file in small pieces with pauses between them."""

    def answer(handler: Handler) -> None:
        handler.begin(200, len(data))
        step = -(-len(data) // chunks)
        for start in range(0, len(data), step):
            handler.wfile.write(data[start : start + step])
            handler.wfile.flush()
            time.sleep(pause)

    return answer


def silent(data: bytes, after: int, seconds: float) -> Answer:
    """Begins to give the file, then says nothing more."""

    def answer(handler: Handler) -> None:
        handler.begin(200, len(data))
        handler.wfile.write(data[:after])
        handler.wfile.flush()
        time.sleep(seconds)
        handler.close_connection = True

    return answer


def with_login(login: str, then: Answer) -> Answer:
    """Wants basic authentication."""

    def answer(handler: Handler) -> None:
        if handler.headers["Authorization"] == f"Basic {login}":
            then(handler)
        else:
            handler.begin(401, 0, WWW_Authenticate='Basic realm="x"')

    return answer


@contextmanager
def serving() -> Iterator[Web]:
    web = Web()
    handler = type("BoundHandler", (Handler,), {"web": web})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        web.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
