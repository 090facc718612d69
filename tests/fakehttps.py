"""A small HTTPS server on loopback that gives the answers it was told to give."""

import contextlib
import http.server
import threading


class FakeHttps:
    """Enter it to start; ``answers`` maps a path, or a host and a path, to a status and a body, or to bytes that
    are sent as they are.

    With ``holds`` it never ends a connection itself; ``ended`` is set when the client has ended one.
    """

    def __init__(self, context, host="127.0.0.1"):
        self.answers = {}
        self.asked = []
        self.holds = False
        self.ended = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.headers["Host"], self.path))
                self.give_answer()
                if outer.holds:
                    with contextlib.suppress(OSError):
                        self.rfile.read()
                    outer.ended.set()

            def give_answer(self):
                exactly = outer.answers.get((self.headers["Host"], self.path))
                answer = exactly or outer.answers.get(self.path, (404, b""))
                if isinstance(answer, bytes):
                    self.wfile.write(answer)
                    return
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self._server.handle_error = lambda *_arguments: None
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
