#!/usr/bin/env python3
"""A mail server and a receiver of webhooks for the tests, on loopback. Keeps all that it accepts in a folder.

Mail: `<n>.eml`, and then `<n>.json` with the envelope. Three ports: STARTTLS and a password are required;
TLS from the first byte, and a password; neither (a relay on the same machine). It misbehaves for recipients
whose local part begins with a certain word:

    rejected…  550 5.1.1 at RCPT
    later…     451 4.3.0 at RCPT, twice for each address; then accepted
    slow…      kept at once, but the answer to the message takes 3 seconds

And as the relays of Google and others do, it sends those away who say that they are `localhost` or an address
(`EHLO [127.0.0.1]`), and takes addresses in ASCII alone.

Webhooks: every request is kept as `<n>.webhook.json`, with whether the library of Standard Webhooks finds it
well signed. The first segment of the path says what is answered; what comes after it is the test's own:

    /ok        200
    /fail      500
    /flaky     503, twice for each webhook-id; then 200
    /gone      410
    /slow      200 after 30 seconds
    /big       200 with 10 MB
    /redirect  302 to /ok
    /health    200, and nothing is kept

Started by `ci/services`, with the Python of a virtual environment that has aiosmtpd and standardwebhooks.
"""

import argparse
import asyncio
import collections
import hmac
import http.server
import itertools
import json
import logging
import os
import ssl
import threading
import time
import warnings

from aiosmtpd.smtp import SMTP, AuthResult
from standardwebhooks.webhooks import Webhook

MAX_MESSAGE_BYTES = 5_000_000
REFUSALS = 2
SLOW_MESSAGE = 3
SLOW_WEBHOOK = 30
BIG_BODY = b"x" * 10_000_000

log = logging.getLogger("mail")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", required=True, metavar="FOLDER", help="where what is accepted is kept")
    parser.add_argument("--tls", required=True, metavar="FOLDER", help="with public.crt and private.key")
    parser.add_argument("--starttls", required=True, type=int, metavar="PORT", help="STARTTLS and a password")
    parser.add_argument("--smtps", required=True, type=int, metavar="PORT", help="implicit TLS and a password")
    parser.add_argument("--relay", required=True, type=int, metavar="PORT", help="neither TLS nor a password")
    parser.add_argument("--user", required=True, metavar="NAME", help="who may send")
    parser.add_argument("--password", required=True, metavar="TEXT", help="of the user")
    parser.add_argument("--webhook", required=True, type=int, metavar="PORT", help="HTTPS")
    parser.add_argument("--webhook-secret", required=True, metavar="whsec_…", help="with which webhooks are signed")
    return parser.parse_args()


class Kept:
    """The folder. Whoever sees a name in it sees the whole file."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        known = [int(name.split(".", 1)[0]) for name in os.listdir(folder) if name[0].isdigit()]
        # Its next() is one step for threads, too.
        self.numbers = itertools.count(max(known, default=0) + 1)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(f"{path}.tmp", "wb") as file:
            file.write(content)
        os.rename(f"{path}.tmp", path)

    def write_json(self, name, value):
        self.write(name, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


class Times:
    """Counts how often each thing was asked for."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()

    def is_early(self, thing):
        """Whether this is one of the first times, at which it is refused."""
        with self.lock:
            self.counts[thing] += 1
            return self.counts[thing] <= REFUSALS


class Mail:
    """What aiosmtpd asks about the messages of one port."""

    def __init__(self, kept, port, times):
        self.kept, self.port, self.times = kept, port, times

    async def handle_EHLO(self, _server, session, _envelope, hostname, responses):
        if hostname.startswith("[") or "." not in hostname:
            return ["421 4.7.0 Try again later, closing connection. (EHLO)"]
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, _server, _session, envelope, address, options):
        if not address.isascii():
            return "553 5.6.7 The address needs SMTPUTF8, which is not supported"
        if address.startswith("rejected"):
            return "550 5.1.1 There is no such mailbox"
        if address.startswith("later") and self.times.is_early(address):
            return "451 4.3.0 The mailbox is busy, try again later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        n = next(self.kept.numbers)
        self.kept.write(f"{n}.eml", envelope.original_content)
        self.kept.write_json(f"{n}.json", {
            "mail_from": envelope.mail_from,
            "rcpt_tos": envelope.rcpt_tos,
            "port": self.port,
            "ehlo": session.host_name,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data.login.decode() if session.authenticated else None,
            "at": time.time(),
        })
        log.info("kept %s.eml to %s", n, ", ".join(envelope.rcpt_tos))
        if any(address.startswith("slow") for address in envelope.rcpt_tos):
            await asyncio.sleep(SLOW_MESSAGE)
        return f"250 2.0.0 OK, kept as {n}"


async def serve_mail(args, kept, context):
    """Listens on all three ports; returns the servers."""
    loop = asyncio.get_running_loop()
    times = Times()

    def knows(_server, _session, _envelope, _mechanism, given):
        good = hmac.compare_digest(given.login, args.user.encode()) and \
            hmac.compare_digest(given.password, args.password.encode())
        # Not `handled`: then a wrong password is answered with 535.
        return AuthResult(success=good, handled=False, auth_data=given)

    def listen(kind, port, tls=None, **options):
        def connection():
            return SMTP(Mail(kept, kind, times), hostname="mail.test", ident="ESMTP for tests",
                        data_size_limit=MAX_MESSAGE_BYTES, loop=loop, **options)
        return loop.create_server(connection, "127.0.0.1", port, ssl=tls)

    return [
        await listen("starttls", args.starttls, tls_context=context, require_starttls=True, auth_required=True,
                     authenticator=knows),
        # By TLS it understands STARTTLS alone, and would not take a password here.
        await listen("smtps", args.smtps, tls=context, auth_required=True, auth_require_tls=False,
                     authenticator=knows),
        await listen("relay", args.relay),
    ]


class Webhooks(http.server.BaseHTTPRequestHandler):
    """One connection. `kept`, `times` and `webhook` are the server's."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    # Small answers go out at once.
    disable_nagle_algorithm = True

    def do_POST(self):
        if (self.command, self.path) == ("GET", "/health"):
            return self.answer(200)
        length = self.headers.get("content-length", "0" if self.command == "GET" else "")
        if not length.isdigit():
            # Whatever follows is not understood.
            return self.answer(411, ("connection", "close"))
        self.keep(self.rfile.read(int(length)))
        behaviour, _, rest = self.path.lstrip("/").partition("/")
        if behaviour == "slow":
            time.sleep(SLOW_WEBHOOK)
        if behaviour == "redirect":
            return self.answer(302, ("location", f"/ok/{rest}" if rest else "/ok"))
        if behaviour == "big":
            return self.answer(200, body=BIG_BODY)
        early = behaviour == "flaky" and self.server.times.is_early(self.headers.get("webhook-id"))
        statuses = {"ok": 200, "slow": 200, "fail": 500, "flaky": 503 if early else 200, "gone": 410}
        return self.answer(statuses.get(behaviour, 404))

    # Who follows a redirect may come with a GET.
    do_GET = do_POST

    def keep(self, body):
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self.server.webhook.verify(body, headers)
            error = None
        except Exception as raised:  # of many kinds: what is sent may be anything
            error = f"{type(raised).__name__}: {raised}"
        self.server.kept.write_json(f"{next(self.server.kept.numbers)}.webhook.json", {
            "method": self.command,
            "path": self.path,
            "headers": headers,
            "body": body.decode(errors="replace"),
            "verified": error is None,
            "error": error,
            "at": time.time(),
        })

    def answer(self, status, *headers, body=b""):
        self.send_response(status)
        for name, value in (*headers, ("content-length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *args):
        log.info("webhook: " + form, *args)


class WebhookServer(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, args, kept, context):
        super().__init__(("127.0.0.1", args.webhook), Webhooks)
        self.kept, self.times, self.webhook = kept, Times(), Webhook(args.webhook_secret)
        # The handshake is the connection's thread's, not the one's that accepts.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, _request, client_address):
        # Clients hang up in the middle: they have had enough of /slow, or of /big.
        log.info("webhook: %s", client_address, exc_info=True)


async def main():
    args = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # aiosmtpd warns of passwords without TLS, at each connection to a port that is all TLS.
    warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
    logging.getLogger("mail.log").addFilter(lambda record: "auth_require_tls" not in record.msg)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(args.tls, "public.crt"), os.path.join(args.tls, "private.key"))
    kept = Kept(args.folder)
    servers = await serve_mail(args, kept, context)
    # The last to listen: who sees it healthy finds the others, too.
    webhooks = WebhookServer(args, kept, context)
    threading.Thread(target=webhooks.serve_forever, daemon=True).start()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
