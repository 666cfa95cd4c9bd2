#!/usr/bin/env python3
"""Serves a folder's photos over TLS, as `origin.py FOLDER TLS_FOLDER LOG`; prints its address.

/NAME               the file, with HEAD, ranges and an entity tag
/slow/KEY/NAME      the same at as many bytes a second as `FOLDER/../slow/KEY` says, while that is there;
                    0 is an outage
/unsized/NAME       the same without a length and without ranges

The log has a line for each answer: when its body (or its end) began, method, path, status, range.
"""

import hashlib
import http.server
import os
import re
import ssl
import sys
import threading
import time
import urllib.parse

FOLDER, TLS, LOG = sys.argv[1:]
log = open(LOG, "w", buffering=1)
lock = threading.Lock()


class Photos(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes, and the second would wait for the first one's acknowledgement.
    disable_nagle_algorithm = True
    timeout = 120

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        self.rate_file, sized = None, True
        if path.startswith("slow/"):
            _, key, path = path.split("/", 2)
            self.rate_file = os.path.join(os.path.dirname(FOLDER), "slow", key)
        elif path.startswith("unsized/"):
            path, sized = path.removeprefix("unsized/"), False
        try:
            with open(os.path.join(FOLDER, path), "rb") as file:
                photo = file.read()
        except OSError:
            return self.refuse(404)
        if self.rate() == 0:
            return self.refuse(503)
        tag = f'"{hashlib.md5(photo).hexdigest()}"'
        status, body = 200, photo
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if sized and wanted and self.headers.get("if-range", tag) == tag:
            begin, end = int(wanted[1]), min(int(wanted[2] or len(photo)), len(photo) - 1)
            if begin > end:
                return self.refuse(416)
            status, body = 206, photo[begin:end + 1]
        self.send_response(status)
        self.send_header("content-type", "image/jpeg")
        self.send_header("etag", tag)
        if status == 206:
            self.send_header("content-range", f"bytes {begin}-{end}/{len(photo)}")
        if sized:
            self.send_header("accept-ranges", "bytes")
            self.send_header("content-length", str(len(body)))
        else:
            self.send_header("transfer-encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        self.end_headers()
        if with_body:
            self.write(body)

    def refuse(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def rate(self):
        """Bytes a second; None for as many as can be."""
        try:
            with open(self.rate_file or "") as file:
                return int(file.read())
        except (OSError, ValueError):
            return None

    def write(self, body):
        at = 0
        while at < len(body):
            rate = self.rate()
            step = rate // 10 if rate else 1 << 20
            self.wfile.write(body[at:at + step])
            at += step
            if rate:
                time.sleep(0.1)

    def log_request(self, code="-", size="-"):
        with lock:
            print(f"{time.time():.4f}", self.command, self.path, code, self.headers.get("range", "-"), file=log)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request, client_address):
        # Whoever is stopped or killed hangs up in the middle.
        with lock:
            print(f"{time.time():.4f}", client_address, repr(sys.exc_info()[1]), file=log)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(TLS, "public.crt"), os.path.join(TLS, "private.key"))
server = Server(("127.0.0.1", 0), Photos)
# The handshake is the connection's thread's, not the one's that accepts.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(f"https://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
