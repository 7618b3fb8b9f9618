"""A web server with faults on demand."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# By its name alone: the tests replace `time.sleep`, and this server keeps its own.
from time import sleep


class Server:
    """Serves `files` by path; each request takes the next of `faults` (a name or a pair) and may have none.

    Faults: an int answers with that status; "cut" sends the first half; "slow" sends 64 kB every 20 ms;
    "no range" ignores ranges; "wrong length" announces more than there is; "spoiled" changes one byte;
    "other range" answers from elsewhere; "other version" answers a range of other content under another ETag;
    "drip" sends a byte every 20 ms; ("to", URL) sends elsewhere, ("to", URL, bytes) with a page of that length;
    ("wait", value) answers 429 with that Retry-After. sent: bytes of pages of redirections that somebody took.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: list = []
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.etag, self.sent = '"1"', 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request) -> None:
        wanted, condition = request.headers.get("Range"), request.headers.get("If-Range")
        self.requests.append((request.path, wanted, condition))
        fault = self.faults.pop(0) if self.faults else None
        content = self.files.get(request.path)
        if isinstance(fault, tuple):
            name, value = {"to": ("Location", fault[1]), "wait": ("Retry-After", fault[1])}[fault[0]]
            length = fault[2] if len(fault) > 2 else 0
            self._send(request, 302 if name == "Location" else 429, {name: value}, b"", length)
            return self._page(request, length)
        status = fault if isinstance(fault, int) else 404 if content is None else 200
        if status != 200:
            return self._send(request, status, {}, b"an error page")
        if fault == "spoiled":
            content = content[:100] + bytes([content[100] ^ 1]) + content[101:]
        headers = {"ETag": self.etag} if self.etag else {}
        if fault == "other version":
            content, headers["ETag"] = content[::-1], '"other"'
            condition = None
        total, start = len(content), 0
        if wanted and fault != "no range" and condition in (None, self.etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= total:
                return self._send(request, 416, {"Content-Range": f"bytes */{total}"}, b"")
            start = 0 if fault == "other range" else start
            status, headers["Content-Range"] = 206, f"bytes {start}-{total - 1}/{total}"
        body = content[start:]
        length = len(body) + (1000 if fault == "wrong length" else 0)
        if fault == "wrong length":
            headers.pop("Content-Range", None)
        body = body[: len(body) // 2] if fault == "cut" else body
        step = {"slow": 1 << 16, "drip": 1}.get(fault, 0)
        self._send(request, status, headers, body, length, step)

    def _page(self, request, length) -> None:
        try:
            for _ in range(0, length, 1 << 16):
                request.wfile.write(bytes(1 << 16))
                self.sent += 1 << 16
        except OSError:
            pass

    @staticmethod
    def _send(request, status, headers, body, length=None, step=0):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.send_header("Connection", "close")
        request.end_headers()
        pause = 0.02 if step else 0
        step = step or len(body) or 1
        try:
            for at in range(0, len(body), step):
                request.wfile.write(body[at : at + step])
                sleep(pause)
        except OSError:
            pass
        request.close_connection = True
