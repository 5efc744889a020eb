"""Serves one folder over HTTP on PORT: the process `web` of a static site.

The standard library's server is the base; here is what it lacks. A file's version is a hash of its content, because the
files of an image all have the same time. Nothing outside of the folder is served, however a link points, and nothing
whose name begins with a dot but `.well-known`. Folders are not listed.
"""

import hashlib
import http.server
import os
import signal
import sys
import urllib.parse

# Files above this size get no version: hashing them takes longer than sending them again is worth.
MAX_HASHED_BYTES = 64 * 1024 * 1024
ROOT = os.path.realpath(sys.argv[1])
versions = {}


def version(path, stat):
    """The ETag of a file; remembered while size and time stay, for files that change under `toolforge dev`."""
    if stat.st_size > MAX_HASHED_BYTES:
        return None
    key = (path, stat.st_size, stat.st_mtime_ns)
    if key not in versions:
        with open(path, "rb") as file:
            versions[key] = '"' + hashlib.file_digest(file, "sha256").hexdigest()[:32] + '"'
    return versions[key]


class Handler(http.server.SimpleHTTPRequestHandler):
    """GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server_version = "toolforge-static"
    sys_version = ""
    # A client that says nothing holds a thread no longer than this.
    timeout = 60
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def send_head(self):
        url = urllib.parse.urlsplit(self.path)
        parts = [part for part in urllib.parse.unquote(url.path).split("/") if part]
        if any(part.startswith(".") and part != ".well-known" or "\0" in part for part in parts):
            return self.missing()
        path = os.path.realpath(os.path.join(ROOT, *parts))
        if path != ROOT and not path.startswith(ROOT.rstrip("/") + "/"):
            return self.missing()
        if os.path.isdir(path):
            if not url.path.endswith("/"):
                # From the decoded parts: a path that begins with two slashes would name another host.
                return self.moved("/" + urllib.parse.quote("/".join(parts)) + "/", url.query)
            path = os.path.realpath(os.path.join(path, "index.html"))
            if not path.startswith(ROOT.rstrip("/") + "/"):
                return self.missing()
        elif url.path.endswith("/"):
            return self.missing()
        return self.file(path, 200)

    def file(self, path, status):
        """The open file after the headers, or None where the headers say everything."""
        try:
            file = open(path, "rb")
        except OSError:
            return self.missing() if status == 200 else self.send_error(status)
        stat = os.fstat(file.fileno())
        tag = version(path, stat) if status == 200 else None
        wanted = self.headers.get("If-None-Match", "")
        if tag and tag in [one.strip().removeprefix("W/") for one in wanted.split(",")]:
            file.close()
            self.send_response(304)
            self.send_header("ETag", tag)
            self.end_headers()
            return None
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(stat.st_size))
        # Ask each time, and get 304 while nothing changed: a deploy is seen at once.
        self.send_header("Cache-Control", "no-cache")
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        return file

    def moved(self, path, query):
        self.send_response(301)
        self.send_header("Location", path + ("?" + query if query else ""))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def missing(self):
        page = os.path.join(ROOT, "404.html")
        if os.path.isfile(page) and os.path.realpath(page).startswith(ROOT.rstrip("/") + "/"):
            return self.file(page, 404)
        self.send_error(404)
        return None


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    port = int(os.environ.get("PORT") or 8000)
    http.server.ThreadingHTTPServer.request_queue_size = 128
    server = http.server.ThreadingHTTPServer(("", port), Handler)
    print(f"serving {ROOT} on port {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
