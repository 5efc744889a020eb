"""What time is it? A web server of Python's own library."""

import os
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer


class Clock(BaseHTTPRequestHandler):
    def do_GET(self):
        text = datetime.now(timezone.utc).strftime("It is %H:%M:%S UTC\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


HTTPServer(("", int(os.environ["PORT"])), Clock).serve_forever()
