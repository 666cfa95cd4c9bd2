#!/usr/bin/env python3
"""More of what real servers, stores and lists do to a downloader, as others reported it: what `wild.py` has not.

usage: python3 more.py PROCESSOR_BINARY [case…]   (or `ci/wild`)

Prints `ok NAME`, `FAIL NAME - why`, or `skip NAME - why` where a case cannot be tried, and at the end `N passed,
N failed`; exits with 1 if any failed. At most three minutes."""

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import unicodedata
import zipfile
import zlib
from urllib.parse import quote, unquote

from lab import (
    CHUNKED,
    MODIFIED,
    QUICK,
    S3,
    UNTIL_CLOSE,
    Answer,
    Connection,
    Origin,
    Skip,
    Stored,
    among_good_ones,
    as_json,
    as_xml,
    case,
    check,
    each,
    etag,
    expect,
    expect_refused,
    firebase,
    google_settings,
    google_storage,
    head,
    in_stores,
    jpeg,
    main,
    names_are,
    photo,
    s3_settings,
)

BODY = jpeg("/odd.jpg")
KIND = ("Content-Type", "image/jpeg")
PATIENT = {}
"""The default back-off, for cases in which it matters."""


def raw(start, lengths=(("Content-Length", len(BODY)),), body=BODY):
    """A server that says `start` (bytes), or an ordinary head, before its header lines."""

    def answer(request):
        said = head(200, [KIND, *lengths])
        said = start + (said if start.endswith(b"\r\n\r\n") or not start else said.split(b"\r\n", 1)[1])
        return said if request.method == "HEAD" else said + body

    return answer


def run_odd(lab, odd, body=None, missing=None, settings=QUICK, good=3, **options):
    """Like `among_good_ones`, for an odd photo of another size."""
    body = BODY if body is None else body
    with Origin(lambda r: odd(r) if r.path == "/odd.jpg" else photo(r)) as origin:
        paths = [f"/{number}.jpg" for number in range(good)] + ["/odd.jpg"]
        run = lab.run([*map(origin.url, paths)], settings=settings, **options)
    photos = {path[1:]: jpeg(path) for path in paths[:-1]}
    if missing:
        expect(run, photos, {"odd.jpg": missing})
    else:
        expect(run, photos | {"odd.jpg": body})
    return origin, run


# Heads


@case("snoyberg/http-client#521", "whatwg/fetch#1698", "caddyserver/caddy#5006")
def early_hints(lab):
    """Before the answer come 103 Early Hints, more than once, 102 or 100: they are no answer."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    starts = {
        "103": hint,
        "103 twice": hint * 2,
        "100": b"HTTP/1.1 100 Continue\r\n\r\n",
        "102": b"HTTP/1.1 102 Processing\r\n\r\n" * 3,
    }
    each(starts, lambda start: among_good_ones(lab, raw(start)))


@case("boostorg/beast#1880", "nodejs/node#6517", "python-hyper/h11#92", "OISF/libhtp#73")
def length_twice(lab):
    """`Content-Length` comes twice: the same is the same; contradicting ones cost that photo, and it is not cut."""
    size = len(BODY)
    same = {
        "two lines": [("Content-Length", size), ("Content-Length", size)],
        "one line": [("Content-Length", f"{size}, {size}")],
    }
    each(same, lambda lengths: among_good_ones(lab, raw(b"", lengths)))
    other = [("Content-Length", size), ("Content-Length", size - 1000)]
    among_good_ones(lab, raw(b"", other), missing="unreachable")


@case("curl/curl#7655", "openstreetmap/operations#910", "mesarim/Gotek-Touchscreen-interface#16")
def chunks_as_they_come(lab):
    """Chunked bodies with a `Content-Length` beside, extensions, trailers, capitals and leading zeros."""
    first, rest = BODY[:1000], BODY[1000:]
    plain = b"3e8\r\n" + first + b"\r\n%x\r\n" % len(rest) + rest + b"\r\n0\r\n\r\n"
    forms = {
        "a length beside": ([("Content-Length", 32)], plain),
        "extensions": ([], plain.replace(b"3e8\r\n", b'3e8;name="a;b"\r\n', 1)),
        "trailers": ([("Trailer", "X-Sum")], plain[:-2] + b"X-Sum: 1\r\nETag: \"late\"\r\n\r\n"),
        "capitals and zeros": ([], plain.replace(b"3e8\r\n", b"0003E8\r\n", 1)),
        "blanks after the size": ([], plain.replace(b"3e8\r\n", b"3e8  \r\n", 1)),
    }

    def attempt(form):
        headers, body = form
        among_good_ones(lab, raw(b"", [*headers, ("Transfer-Encoding", "chunked")], body))

    each(forms, attempt)


@case("kazuho/p5-http-parser-xs#20", "algesten/ureq#327", "nodejs/http-parser#367", "vlang/v#28329")
def status_lines(lab):
    """Status lines without a reason, HTTP/1.0 without a length, and line ends of LF alone, which browsers take."""
    lines = head(200, [KIND, ("Content-Length", len(BODY))])
    answers = {
        "no reason": raw(b"HTTP/1.1 200\r\n"),
        "an empty reason": raw(b"HTTP/1.1 200 \r\n"),
        "another reason": raw("HTTP/1.1 200 Schön\r\n".encode()),
        "HTTP/1.0": raw(b"HTTP/1.0 200 OK\r\n", lengths=()),
        "LF alone": lambda r: lines.replace(b"\r\n", b"\n") + (b"" if r.method == "HEAD" else BODY),
    }
    each(answers, lambda odd: among_good_ones(lab, odd))


@case("rgreinho/trauma#159", "ourresearch/OpenAlex#14", "software-mansion/react-native-executorch#1411")
def head_that_lies(lab):
    """HEAD tells another length than GET, often none at all: what GET gives is the photo, and none is archived empty."""

    def attempt(length):
        def odd(request):
            return Answer(200, [KIND], b"", length) if request.method == "HEAD" else photo(request, BODY)

        among_good_ones(lab, odd)

    size = len(BODY)
    each({"0": 0, "26": 26, "two less": size - 2, "two more": size + 2, "much more": 1 << 30}, attempt)


# Answers that are not there yet


class NotYet:
    """Says so with this status for some seconds."""

    def __init__(self, status, seconds, headers=()):
        self.status, self.seconds, self.headers, self.began = status, seconds, list(headers), None

    def __call__(self, request):
        now = time.monotonic()
        self.began = self.began or now
        return photo(request) if now - self.began >= self.seconds else Answer(self.status, self.headers)


@case("iterate-ch/cyberduck#18425", "fadeoutsoftware/WASDI#45", "IIIF/api#1168", "owncloud/ocis#5300")
def not_ready_yet(lab):
    """A store that is still making or recalling a photo answers 202 or 425; a little later it is there."""
    waits = {
        "202": NotYet(202, 2),
        "202 with Retry-After": NotYet(202, 3, [("Retry-After", "1")]),
        "425": NotYet(425, 2),
    }
    each(waits, lambda odd: among_good_ones(lab, odd, settings=PATIENT, timeout=40))


@case("iterate-ch/cyberduck#18425", "hironico/nico.drive#7")
def never_ready(lab):
    """202, 204 or 205 for ever is no photo of no bytes: it is missing, and the others are there."""
    each(
        {f"{status}": status for status in (202, 204, 205)},
        lambda status: among_good_ones(lab, lambda request: Answer(status), missing="", timeout=40),
    )


# Ways to a photo

@case("snoyberg/http-client#83", "michel-kraemer/gradle-download-task#336", "smanikandan14/ThinDownloadManager#65")
def locations(lab):
    """`Location` with blanks, without a scheme, with a fragment, relative, or in capitals: followed as browsers do."""
    forms = {
        "a blank": ("/new folder/x y.jpg", "/new folder/x y.jpg"),
        "no scheme": ("//{host}/x.jpg", "/x.jpg"),
        "a fragment": ("/x.jpg#top", "/x.jpg"),
        "relative": ("x.jpg", "/deep/x.jpg"),
        "upwards": ("../x.jpg", "/x.jpg"),
        "a query alone": ("?v=2", "/deep/odd.jpg"),
        "a scheme in capitals": ("HTTP://{host}/x.jpg", "/x.jpg"),
        "brackets and bars": ("/a|b[1]{2}.jpg", "/a|b[1]{2}.jpg"),
        "no blank after the colon": (None, "/x.jpg"),
    }

    def attempt(form):
        location, place = form

        def answer(request):
            if request.target == "/deep/odd.jpg":
                if location is None:
                    return b"HTTP/1.1 302 Found\r\nLocation:/x.jpg\r\nContent-Length: 0\r\n\r\n"
                host = request.headers["host"]
                return Answer(302, [("Location", location.replace("{host}", host))])
            return photo(request, BODY) if request.decoded == place else Answer(404)

        with Origin(answer) as origin:
            expect(lab.run([origin.url("/deep/odd.jpg")], settings=QUICK), {"odd.jpg": BODY})

    each(forms, attempt)


@case("Crosstalk-Solutions/project-nomad#1113", "d2lang/d2#2661", "IsraelHikingMap/Site#1573")
def user_agent(lab):
    """Servers refuse requests that do not say who asks, or only which library, HEAD included."""

    def odd(request):
        agent = request.headers.get("user-agent", "")
        library = re.match(r"(?i)(hyper|reqwest|python|go-http|axios|java|okhttp|curl|wget)\b", agent)
        return photo(request) if agent and not library and request.headers.get("accept") else Answer(403)

    among_good_ones(lab, odd)


# Resuming


BIG = jpeg("/odd.jpg", 400_000)


def multipart(first, last):
    """The answer of a server that packs even one range."""
    part = (
        f"\r\n--b\r\nContent-Type: image/jpeg\r\nContent-Range: bytes {first}-{last}/{len(BIG)}\r\n\r\n".encode()
        + BIG[first : last + 1]
        + b"\r\n--b--\r\n"
    )
    return Answer(206, [("Content-Type", "multipart/byteranges; boundary=b")], part)


@case(
    "modelscope/modelscope_hub#50",
    "rust-lang/rustup#4710",
    "xroche/httrack#198",
    "jizhi0v0/duo-updater#225",
    "pypa/pip#14131",
)
def odd_ranges(lab):
    """A download breaks off, and the range that is asked for then is answered with other bytes, or otherwise than it should be."""

    def honest(status, first, last, total=len(BIG)):
        return Answer(status, [KIND, ("Content-Range", f"bytes {first}-{last}/{total}")], BIG[first : last + 1])

    end = len(BIG) - 1
    forms = {
        "200 with the range": lambda first, last: honest(200, first, last),
        "200 with all": lambda first, last: Answer(200, [KIND], BIG),
        "206 with all": lambda first, last: honest(206, 0, end),
        "206 from an earlier byte": lambda first, last: honest(206, first - first % 65536, last),
        "206 with less": lambda first, last: honest(206, first, min(last, first + 50_000)),
        "206 without a Content-Range": lambda first, last: Answer(206, [KIND], BIG[first : last + 1]),
        "an unknown total": lambda first, last: honest(206, first, last, "*"),
        "multipart": multipart,
        "416": lambda first, last: Answer(416, [("Content-Range", f"bytes */{len(BIG)}")]),
        "403": lambda first, last: Answer(403),
    }

    def attempt(form):
        broken = []

        def odd(request):
            if request.span and request.span[0] > 0:
                return form(request.span[0], end if request.span[1] is None else request.span[1])
            whole = photo(request, BIG)
            if request.method == "HEAD" or request.span or broken:
                return whole
            broken.append(True)
            return Answer(200, whole.headers, iter([BIG[:200_000]]), len(BIG))

        run_odd(lab, odd, BIG, settings=QUICK | {"source.attempts": 5})

    each(forms, attempt)


@case("expressjs/express#2445", "billfeller/billfeller.github.io#91", "AnInsomniacy/aria2-next#43")
def replicas_that_differ(lab):
    """A film is large enough to come in ranges, and every replica has its own `ETag` and date, a weak one, or none."""
    film = jpeg("film", 18 << 20)

    def attempt(validators):
        count = iter(range(10_000))

        def odd(request):
            whole = photo(request, film, kind="video/mp4")
            other = [(n, v) for n, v in whole.headers if n not in ("ETag", "Last-Modified")]
            return Answer(whole.status, other + validators(next(count)), whole.body)

        run_odd(lab, odd, film, timeout=60)

    each(
        {
            "each its own": lambda n: [
                ("ETag", f'"{n:x}-120"'),
                ("Last-Modified", f"Sat, 20 Jun 2026 15:04:{n % 60:02} GMT"),
            ],
            "a weak one": lambda n: [("ETag", 'W/"120"')],
            "none": lambda n: [],
        },
        attempt,
    )


@case("googleapis/google-cloud-go#242", "kurin/blazer#71", "Azure/static-web-apps#1675", "minio/minio#6557")
def nothing_in_ranges(lab):
    """A photo of no bytes, for whose first byte is answered 416, 400, 500 or 200, and whose HEAD may be refused."""
    refused, told = Answer(405), Answer(200, [KIND])
    answers = {
        "416 with its length": (refused, Answer(416, [("Content-Range", "bytes */0")])),
        "416": (refused, Answer(416)),
        "200": (refused, told),
        "206 of nothing": (refused, Answer(206, [("Content-Range", "bytes 0-0/0")])),
        "400": (told, Answer(400)),
        "500": (told, Answer(500)),
    }

    def attempt(answer):
        def odd(request):
            return answer[0] if request.method == "HEAD" else answer[1] if request.span else told

        _, run = run_odd(lab, odd, b"", timeout=40)
        check(run.report.get("empty") == ["odd.jpg"], f"`empty` in --json is {run.report.get('empty')!r}")

    each(answers, attempt)


# Connections


class Forgetful(Connection):
    """Reads the second request of a connection, and then has nothing to say, or 408."""

    last_words = b""

    def handle(self):
        try:
            request = self.receive()
            if request and self.send(request, self.server.ask(request)) and self.receive():
                self.wfile.write(self.last_words)
        except OSError:
            pass


class Forgetful408(Forgetful):
    last_words = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@case("hyperium/hyper#2136", "seanmonstar/reqwest#2021", "mesarim/Gotek-Touchscreen-interface#16")
def reused_connections(lab):
    """A server ends each connection when it is used again, without an answer or with 408: all photos are there."""
    paths = [f"/{number}.jpg" for number in range(100)]

    def attempt(handler):
        origin = Origin(photo)
        origin.RequestHandlerClass = handler
        with origin:
            run = lab.run([*map(origin.url, paths)], settings=PATIENT, timeout=45)
        expect(run, {path[1:]: jpeg(path) for path in paths})

    each({"nothing": Forgetful, "408": Forgetful408}, attempt)


class Few(Origin):
    """Resets all connections beyond so many at once."""

    def __init__(self, answer, most):
        super().__init__(answer)
        self.places, self.refused = threading.Semaphore(most), 0

    def process_request(self, request, client_address):
        if self.places.acquire(blocking=False):
            return super().process_request(request, client_address)
        self.refused += 1
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.close()

    def shutdown_request(self, request):
        super().shutdown_request(request)
        self.places.release()


@case("aria2/aria2#577", "bezzad/Downloader.Desktop#14", "AlexsLemonade/refinebio#1239", "gpodder/gpodder#151")
def few_connections(lab):
    """A server takes three connections from one address and resets the others: all photos are there."""
    paths = [f"/{number}.jpg" for number in range(120)]

    def slow(request):
        time.sleep(0.03)
        return photo(request)

    with Few(slow, most=3) as origin:
        run = lab.run([*map(origin.url, paths)], settings=PATIENT, timeout=90)
    expect(run, {path[1:]: jpeg(path) for path in paths})


def certificate(lab, name, subject="DNS:photos.example.test,IP:127.0.0.1"):
    """Paths of a key and of a certificate that is its own authority."""
    if not shutil.which("openssl"):
        raise Skip("needs openssl")
    key, made = f"{lab.folder}/{name}.key", f"{lab.folder}/{name}.crt"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=wild -addext basicConstraints=critical,CA:FALSE"
    command = [*make.split(), "-addext", f"subjectAltName={subject}", "-keyout", key, "-out", made]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context, made


@case("almide/almide#1626", "warpdotdev/warp#8402", "SergioBenitez/rktpb#8")
def tls_without_a_goodbye(lab):
    """The server closes without `close_notify` after a body whose end is known by its length, or by its last chunk."""
    context, trusted = certificate(lab, "goodbye")
    chunked = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
    answers = {
        "length": raw(b""),
        "chunks": raw(b"", [("Transfer-Encoding", "chunked")], chunked),
    }

    def attempt(odd):
        with Origin(odd, tls=context) as origin:
            run = lab.run(
                [origin.url("/odd.jpg", scheme="https")],
                settings=QUICK,
                before=("env", f"SSL_CERT_FILE={trusted}"),
            )
        expect(run, {"odd.jpg": BODY})

    each(answers, attempt)


@case("rustls/rustls#512", "seanmonstar/reqwest#923", "h4ckf0r0day/obscura#769", "russellbanks/Komac#531")
def old_tls(lab):
    """Servers that speak only TLS 1.0, or only ciphers that nobody should: that one is missing, soon, and it is said why."""

    def old(context):
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1

    def weak(context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA:AES256-SHA:@SECLEVEL=0")

    def attempt(weaken):
        context, _ = certificate(lab, weaken.__name__)
        try:
            weaken(context)
        except (ValueError, ssl.SSLError) as why:
            raise Skip(f"Python cannot: {why}") from None
        with Origin(photo, tls=context) as origin:
            address = origin.url("/odd.jpg", scheme="https")
            told = r"(?i)\btls\b|handshake|protocol|alert|cipher"
            _, run = among_good_ones(lab, address, missing="unreachable", told=told, settings=PATIENT, timeout=60)
        check(run.seconds < 15, f"took {run.seconds:.0f} s")

    each({"TLS 1.0": old, "no forward secrecy": weak}, attempt)


class Tunnel(Connection):
    """A proxy; every tunnel leads to one server, whatever was asked for."""

    def handle(self):
        try:
            request = self.receive()
            if request is None:
                return
            self.server.requests.append(request)
            if request.method != "CONNECT":
                self.wfile.write(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.server.leads_to)) as far:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self.pour, args=(far, self.connection), daemon=True)
                back.start()
                self.pour(self.connection, far)
                back.join(10)
        except OSError:
            pass

    @staticmethod
    def pour(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@case("pocoproject/poco#173", "testssl/testssl.sh#1750", "xroche/httrack#592", "jcgregorio/httplib2#276")
def proxy_resolves(lab):
    """Behind a proxy, names of the outside cannot be looked up: the proxy is asked for the name. `NO_PROXY` goes straight."""
    context, trusted = certificate(lab, "proxied")
    with Origin(photo, tls=context) as origin, Origin(photo) as proxy:
        proxy.RequestHandlerClass, proxy.leads_to = Tunnel, origin.port
        here = f"http://127.0.0.1:{proxy.port}"
        environment = ["env", f"SSL_CERT_FILE={trusted}", f"HTTPS_PROXY={here}", f"https_proxy={here}"]
        urls = ["https://photos.example.test/a.jpg", "https://photos.example.test:8443/b.jpg"]
        run = lab.run(urls, settings=QUICK, before=environment)
        expect(run, {"a.jpg": jpeg("/a.jpg"), "b.jpg": jpeg("/b.jpg")})
        asked = {request.target for request in proxy.requests}
        check(asked == {"photos.example.test:443", "photos.example.test:8443"}, f"the proxy was asked for {asked}")
        proxy.requests.clear()
        direct = [*environment, "NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1"]
        run = lab.run([origin.url("/c.jpg", scheme="https")], settings=QUICK, before=direct)
        expect(run, {"c.jpg": jpeg("/c.jpg")})
        check(not proxy.requests, "the proxy was asked for what NO_PROXY names")


# Checksums


def crc32c(data):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 255]
    return base64.b64encode((value ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@case("googleapis/nodejs-storage#709", "googleapis/google-cloud-cpp#8830", "fsouza/fake-gcs-server#1226")
def hash_of_what_is_stored(lab):
    """Google unpacks photos that are kept compressed on the way, and its checksums are still those of the packed bytes."""
    packed = gzip.compress(BODY)
    hashes = {"crc32c": crc32c(packed), "md5Hash": md5(packed)}
    facts = {"bucket": "party", "generation": "1", "size": str(len(packed)), "contentType": "image/jpeg"}
    facts |= {"contentEncoding": "gzip", "updated": "2026-06-20T15:04:05Z", **hashes}
    headers = [
        KIND,
        ("x-goog-hash", f"crc32c={hashes['crc32c']}"),
        ("x-goog-hash", f"md5={hashes['md5Hash']}"),
        ("x-goog-generation", "1"),
        ("x-goog-stored-content-encoding", "gzip"),
        ("x-goog-stored-content-length", len(packed)),
    ]

    def media(request):
        if "gzip" in request.headers.get("accept-encoding", ""):
            body = b"" if request.method == "HEAD" else packed
            return Answer(200, [*headers, ("Content-Encoding", "gzip")], body, len(packed))
        unpacked = [*headers, ("x-guploader-response-body-transformations", "gunzipped")]
        return Answer(200, unpacked, iter([BODY]), CHUNKED)

    def answer(request):
        if request.path.endswith("/o"):
            return as_json({"items": [{**facts, "name": "e/odd.jpg"}]})
        described = "/o/" in request.path and request.query.get("alt") != "media"
        return as_json({**facts, "name": "e/odd.jpg"}) if described else media(request)

    def attempt(place):
        with Origin(answer) as origin:
            where = origin.url(place) if place.startswith("/") else place
            run = lab.run([where], settings=QUICK | google_settings(origin))
        expect(run, {"odd.jpg": BODY})

    places = ["/party/odd.jpg", "/v0/b/party/o/e%2Fodd.jpg?alt=media&token=t", "gs://party/e/odd.jpg", "gs://party/e/"]
    each({place: place for place in places}, attempt)


@case("aws/aws-cli#1026", "rustyconover/net-amazon-s3#109", "aws/aws-sdk-js#2065", "axpdev-lab/aeroftp#792")
def etag_is_no_md5(lab):
    """`ETag`s of encrypted objects look like an MD5 and are none; those of large uploads have a number behind."""
    objects = {f"e/{n}.jpg": Stored(jpeg(f"{n}")) for n in range(3)}

    def attempt(disguise):
        store = S3({f"party/{key}": stored for key, stored in objects.items()})

        def sealed(text):
            if isinstance(text, bytes):
                return re.sub(rb"\b[0-9a-f]{32}\b", lambda found: disguise(found[0].decode()).encode(), text)
            return re.sub(r"\b[0-9a-f]{32}\b", lambda found: disguise(found[0]), text)

        def answer(request):
            said = store(request)
            said.headers = [(name, sealed(v) if name == "ETag" else v) for name, v in said.headers]
            said.body = sealed(said.body) if said.body.startswith(b"<?xml") else said.body
            return said

        with Origin(answer) as origin:
            for place in (["s3://party/e/"], [f"s3://party/{key}" for key in objects]):
                run = lab.run(place, settings=QUICK | s3_settings(origin))
                expect(run, {key[2:]: stored.body for key, stored in objects.items()})

    each(
        {
            "encrypted": lambda md5: hashlib.md5(md5.encode()).hexdigest(),
            "in parts": lambda md5: hashlib.md5(md5.encode()).hexdigest() + "-3",
        },
        attempt,
    )


# What is packed


def packing(encoding, body, cut=()):
    """A server that keeps its photo packed, and hangs up too early so often as `cut` has members."""
    cut = list(cut)

    def answer(request):
        headers = [KIND, ("Content-Encoding", encoding)]
        if request.method == "HEAD" or not cut:
            return Answer(200, headers, body)
        cut.pop()
        return Answer(200, headers, iter([body[: len(body) // 2]]), UNTIL_CLOSE)

    return answer


@case("curl/curl#22156", "urllib3/urllib3#1285", "oven-sh/bun#33708", "pydantic/pydantic-ai#7159")
def packed_in_members(lab):
    """What is gzipped piece by piece has several members (RFC 1952, 2.2): the photo is all of them, not the first."""
    members = gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:2000]) + gzip.compress(BODY[2000:])
    among_good_ones(lab, packing("gzip", members))
    objects = {"e/odd.jpg": Stored(members, encoding="gzip"), "e/a.jpg": Stored(jpeg("a"))}
    in_stores(lab, objects, {"odd.jpg": BODY, "a.jpg": jpeg("a")})


@case("rest-client/rest-client#49", "NeuraLegion/bright-cli#409", "sindresorhus/decompress-response#34")
def deflate_without_its_header(lab):
    """IIS and Rack call a bare deflate stream `deflate`, without the zlib around it; browsers and curl take both."""
    bare = zlib.compressobj(wbits=-15)
    among_good_ones(lab, packing("deflate", bare.compress(BODY) + bare.flush()))


@case("notatallshaw/nab#467", "oven-sh/bun#34922", "sindresorhus/decompress-response#19", "pydantic/pydantic-ai#7159")
def packed_and_cut(lab):
    """A packed answer breaks off, and no length shows it, but that its end is missing does: half a photo is none."""
    packed = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY)}
    once = {f"{name}, once": packing(name, body, [1]) for name, body in packed.items()}
    each(once, lambda odd: among_good_ones(lab, odd))
    always = {f"{name}, always": packing(name, body, [1] * 1000) for name, body in packed.items()}
    each(always, lambda odd: among_good_ones(lab, odd, missing=""))


@case("httpie/cli#96", "owncloud/ocis#3519")
def cut_without_a_length(lab):
    """An answer that ends with its connection is cut; HEAD told how long it is, and half a photo is none."""

    def attempt(times):
        left = [1] * times

        def odd(request):
            if request.method == "HEAD" or not left:
                return photo(request, BODY)
            left.pop()
            return Answer(200, [KIND], iter([BODY[:1500]]), UNTIL_CLOSE)

        among_good_ones(lab, odd, missing="unreachable" if times > 9 else None)

    each({"once": 1, "always": 1000}, attempt)


# Listings


class Pages(S3):
    """Lists these pages of keys, with tokens that have to be given back as they are."""

    def __init__(self, objects, pages, more=lambda n: f"<NextContinuationToken>{token(n)}</NextContinuationToken>"):
        super().__init__({f"party/{key}": stored for key, stored in objects.items()})
        self.pages, self.more, self.listed = pages, more, 0

    def list(self, bucket, query):
        self.listed += 1
        given = query.get("continuation-token")
        after = query.get("start-after", "")
        at = next((n for n in range(len(self.pages)) if token(n) == given), None if given else 0)
        if at is None:
            return self.xml("<Error><Code>InvalidArgument</Code><Message>The token is not correct</Message></Error>", 400)
        while at + 1 < len(self.pages) and self.pages[at] and self.pages[at][-1] <= after:
            at += 1
        keys = [key for key in self.pages[at] if key > after]
        last = at + 1 == len(self.pages)
        contents = "".join(
            f"<Contents><Key>{as_xml(key)}</Key><Size>{len(self.objects[f'party/{key}'].body)}</Size>"
            f"<ETag>{etag(self.objects[f'party/{key}'].body).replace(chr(34), '&quot;')}</ETag>"
            f"<LastModified>2026-06-20T15:04:05.000Z</LastModified></Contents>"
            for key in keys
        )
        return self.xml(
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>e/</Prefix><KeyCount>{len(keys)}</KeyCount>"
            f"<IsTruncated>{'false' if last else 'true'}</IsTruncated>"
            f"{'' if last else self.more(at + 1)}{contents}</ListBucketResult>"
        )


def token(number):
    """What leads to a page; the first one needs none."""
    return f"1/{number}+a b~c==" if number else ""


def google_pages(objects, pages):
    """The same at Google."""
    whole = google_storage(objects)

    def answer(request):
        said = whole(request)
        if not request.path.endswith("/o"):
            return said
        given = request.query.get("pageToken", "")
        at = next((n for n in range(len(pages)) if token(n) == given), None)
        if at is None:
            return as_json({"error": {"code": 400, "message": "Invalid pageToken"}}, 400)
        items = {item["name"]: item for item in json.loads(said.body)["items"]}
        listing = {"items": [items[key] for key in pages[at]]} if pages[at] else {}
        if at + 1 < len(pages):
            listing["nextPageToken"] = token(at + 1)
        return as_json(listing)

    return answer


def paged(lab, pages):
    objects = {key: Stored(jpeg(key)) for page in pages for key in page}
    stores = {
        "gs": (google_pages(objects, pages), google_settings, "gs://party/e/"),
        "s3": (Pages(objects, pages), s3_settings, "s3://party/e/"),
    }

    def attempt(store):
        answer, settings, place = store
        with Origin(answer) as origin:
            run = lab.run([place], settings=QUICK | settings(origin), timeout=40)
        expect(run, {key[2:]: jpeg(key) for key in objects})

    each(stores, attempt)


@case("francismeynard/lambda-s3-archiver#2", "AnthonyMDev/AmazonS3RequestManager#34", "mattrobinsonsre/terrapod#1155")
def listing_in_pages(lab):
    """A folder has more objects than one page holds, and the token for the next one has `+`, `/`, `=` and blanks in it."""
    keys = [f"e/{number:03}.jpg" for number in range(90)]
    paged(lab, [keys[at : at + 20] for at in range(0, len(keys), 20)])


@case("fsouza/fake-gcs-server#1912", "googleapis/google-cloud-go#4676")
def listing_with_empty_pages(lab):
    """A page has no objects and still says that there are more: objects that were removed, or that are not ours to see."""
    paged(lab, [[], ["e/a.jpg", "e/b.jpg"], [], [], ["e/c.jpg"], []])


@case("taylorfinnell/awscr-s3#71", "kunobi-ninja/kache#278", "minio/minio-go#1704", "cloudlena/s3manager#10")
def listing_without_a_token(lab):
    """A store says that its list goes on, but not how: an archive of the first page alone is not all there is."""
    pages = [["e/a.jpg", "e/b.jpg"], ["e/c.jpg", "e/d.jpg"]]
    objects = {key: Stored(jpeg(key)) for page in pages for key in page}
    with Origin(Pages(objects, pages, more=lambda _: "")) as origin:
        run = lab.run(["s3://party/e/"], settings=QUICK | s3_settings(origin))
    check(run.code is not None, run.ending)
    if run.code == 0:
        expect(run, {key[2:]: jpeg(key) for key in objects})
    else:
        check("error" in run.stderr.lower(), f"says nothing: {run.ending}")


@case("findify/s3mock#144", "lidofinance/validator-ejector#197", "apache/druid#9097", "durch/rust-s3#92")
def listing_without_end(lab):
    """A store gives the same page and the same token again and again: this ends, and makes no archive of doubles."""
    objects = {"e/a.jpg": Stored(jpeg("a")), "e/b.jpg": Stored(jpeg("b"))}

    class Circle(Pages):
        def list(self, bucket, query):
            return super().list(bucket, {})

    google = google_storage(objects)

    def circle(request):
        said = google(request)
        if request.path.endswith("/o"):
            said.body = json.dumps(json.loads(said.body) | {"nextPageToken": "again"}).encode()
        return said

    def attempt(store):
        answer, settings, place = store
        with Origin(answer) as origin:
            run = lab.run([place], settings=QUICK | settings(origin), timeout=20)
        asked = sum("list-type" in request.query or request.path.endswith("/o") for request in origin.requests)
        check(run.code is not None, f"still asks, for the {asked}th time")
        check(run.code != 0, f"archived {run.names[:4]}")
        check(asked < 1000, f"asked {asked} times")

    stores = {
        "s3": (Circle(objects, [list(objects), []]), s3_settings, "s3://party/e/"),
        "gs": (circle, google_settings, "gs://party/e/"),
    }
    each(stores, attempt)


@case("minio/minio#10818", "aws/aws-sdk-cpp#167")
def listing_slow_down(lab):
    """Asked for a list, the store says that it is too busy, or breaks off; the third time it has one."""
    objects = {f"e/{n}.jpg": Stored(jpeg(f"{n}")) for n in range(3)}
    busy = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    limited = {"error": {"code": 429, "errors": [{"reason": "rateLimitExceeded"}]}}
    stores = {
        "s3": (S3({f"party/{k}": o for k, o in objects.items()}), s3_settings, "s3://party/e/"),
        "gs": (google_storage(objects), google_settings, "gs://party/e/"),
    }
    refusals = {
        "s3 busy": ("s3", lambda said: Answer(503, [("Content-Type", "application/xml"), ("Retry-After", "1")], busy)),
        "gs busy": ("gs", lambda said: as_json(limited, 429)),
        "s3 cut short": ("s3", lambda said: Answer(200, said.headers, iter([said.body[:200]]), len(said.body))),
        "gs cut short": ("gs", lambda said: Answer(200, said.headers, iter([said.body[:100]]), len(said.body))),
    }

    def attempt(refusal):
        (store, settings, place), refuse = stores[refusal[0]], refusal[1]
        left = [1, 1]

        def answer(request):
            said = store(request)
            listing = "list-type" in request.query or request.path.endswith("/o")
            return refuse(said) if listing and left and left.pop() else said

        with Origin(answer) as origin:
            run = lab.run([place], settings=PATIENT | settings(origin), timeout=40)
        expect(run, {key[2:]: stored.body for key, stored in objects.items()}, ordered=False)

    each(refusals, attempt)


@case("aws/aws-sdk-js#886", "oven-sh/bun#33497")
def listing_cut_short(lab):
    """A list ends in the middle, and only its XML shows it, since an old proxy ends answers by hanging up: it is no list."""
    objects = {f"e/{n}.jpg": Stored(jpeg(f"{n}")) for n in range(4)}

    def attempt(order):
        store, left = S3({f"party/{key}": stored for key, stored in objects.items()}), [1]

        def answer(request):
            said = store(request)
            if "list-type" not in request.query:
                return said
            body = said.body
            if order == "facts behind":
                facts = re.search(rb"<KeyCount>.*?</IsTruncated>", body)[0]
                body = body.replace(facts, b"").replace(b"</ListBucketResult>", facts + b"</ListBucketResult>")
            if left and left.pop():
                body = body[: body.index(b"<Key>e/2.jpg") if order != "facts behind" else body.index(b"</Contents>") + 11]
            return Answer(200, said.headers, iter([body]), UNTIL_CLOSE)

        with Origin(answer) as origin:
            run = lab.run(["s3://party/e/"], settings=PATIENT | s3_settings(origin), timeout=40)
        if run.code == 0:
            expect(run, {key[2:]: stored.body for key, stored in objects.items()}, ordered=False)
        check(run.code is not None, run.ending)

    each({"in a key": "facts before", "after an object": "facts behind"}, attempt)


@case("awslabs/mountpoint-s3#1", "aws/aws-sdk-js#285", "awslabs/aws-sdk-rust#183", "aws/aws-cli#6358")
def elsewhere_or_at_another_time(lab):
    """The bucket is in another region, or our clock is wrong: no photo is missing, and it is said what is to be set right."""
    moved = (
        "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using the"
        " specified endpoint.</Message><Endpoint>party.s3.eu-central-1.amazonaws.com</Endpoint></Error>"
    )
    skewed = (
        "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is"
        " too large.</Message><ServerTime>2026-06-20T15:04:05Z</ServerTime></Error>"
    )
    errors = {"region": (301, moved, r"(?i)region|eu-central-1"), "clock": (403, skewed, r"(?i)clock|\btime\b")}
    places = {"folder": ["s3://party/e/"], "objects": [f"s3://party/e/{n}.jpg" for n in range(3)]}

    def attempt(told):
        (status, text, words), place = told

        def answer(request):
            said = S3.xml(text, status)
            said.headers.append(("x-amz-bucket-region", "eu-central-1"))
            return said

        with Origin(answer) as origin:
            run = lab.run(place, settings=QUICK | s3_settings(origin) | {"r2.attempts": 3, "r2.retry_delay": "20ms"}, timeout=40)
        check(run.code in (2, 75), f"not exit 2 or 75 but {run.ending}")
        check(re.search(words, run.stderr), f"does not say what: {run.stderr[-300:]}")

    each({f"{e}, {p}": (errors[e], places[p]) for e in errors for p in places}, attempt)


@case("generalui/s3p#78", "sciencehistory/scihist_digicoll#2365")
def gone_since_it_was_listed(lab):
    """An object is removed between the list and its download: it is missing, and the others are there."""
    objects = {f"e/{n}.jpg": Stored(jpeg(f"{n}")) for n in range(4)}
    stores = {
        "s3": (S3({f"party/{k}": o for k, o in objects.items()}), s3_settings, "s3://party/e/"),
        "gs": (google_storage(objects), google_settings, "gs://party/e/"),
    }

    def attempt(store):
        whole, settings, place = store

        def answer(request):
            gone = request.decoded.endswith("2.jpg")
            if gone and "s3" in place:
                return S3.xml("<Error><Code>NoSuchKey</Code></Error>", 404)
            return as_json({"error": {"code": 404}}, 404) if gone else whole(request)

        with Origin(answer) as origin:
            run = lab.run([place], settings=QUICK | settings(origin))
        left = {key[2:]: stored.body for key, stored in objects.items() if "2" not in key}
        expect(run, left, {"2.jpg": "not_found"}, ordered=False)

    each(stores, attempt)


@case("aws/aws-cli#748", "aws/aws-cli#4039", "s3tools/s3cmd#193", "aws/aws-sdk-php#322")
def in_cold_storage(lab):
    """Old photos of a bucket went to Glacier, and reading them is refused: these are missing, and it is said why."""
    warm = {f"e/{n}.jpg": Stored(jpeg(f"{n}")) for n in range(4)}

    class Cold(S3):
        def read(self, place, request):
            if "cold" not in place:
                return super().read(place, request)
            if request.method == "HEAD":
                answer = super().read(place, request)
                return Answer(200, [*answer.headers, ("x-amz-storage-class", "GLACIER")], b"", len(answer.body))
            return self.xml(
                "<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the object's storage"
                " class</Message><StorageClass>GLACIER</StorageClass></Error>",
                403,
            )

    store = Cold({f"party/{key}": stored for key, stored in (warm | {"e/cold.jpg": Stored(jpeg("c"))}).items()})
    with Origin(store) as origin:
        places = {"a folder": ["s3://party/e/"], "one": [*(f"s3://party/{key}" for key in warm), "s3://party/e/cold.jpg"]}

        def attempt(place):
            run = lab.run(place, settings=QUICK | s3_settings(origin), timeout=50)
            expect(run, {key[2:]: stored.body for key, stored in warm.items()}, {"cold.jpg": None}, ordered=False)
            told = run.note + json.dumps(run.report["missing"])
            check(re.search(r"(?i)glacier|archiv|restor|cold|InvalidObjectState|storage class", told), f"said {told[-300:]}")

        each(places, attempt)


@case("peak/s5cmd#352", "mdn/kuma#6076", "ex-aws/ex_aws_s3#58", "aws/aws-cli#421")
def slashes_in_keys(lab):
    """Keys have two slashes in a row, or one in front: they are other objects than those without, and none is lost."""
    keys = ["e//a.jpg", "e/a.jpg", "e/b//c.jpg", "e/b/c.jpg"]
    wanted = ["a.jpg", "a (2).jpg", "b/c.jpg", "b/c (2).jpg"]
    objects = {key: Stored(jpeg(key)) for key in keys}
    in_stores(lab, objects, {name: jpeg(key) for name, key in zip(wanted, keys)})
    single = {"/front.jpg": Stored(jpeg("/front")), "front.jpg": Stored(jpeg("front"))}
    stores = {
        "gs": (google_storage(single), google_settings),
        "s3": (S3({f"party/{key}": stored for key, stored in single.items()}), s3_settings),
    }

    def attempt(name):
        answer, settings = stores[name]
        with Origin(answer) as origin:
            run = lab.run([f"{name}://party//front.jpg"], settings=QUICK | settings(origin))
        expect(run, {"front.jpg": jpeg("/front")})

    each({name: name for name in stores}, attempt)


@case("mlflow/mlflow#25137", "cmj2002/r2-dir-list#3", "developmentseed/multistore#22", "jenkinsci/pipeline-aws-plugin#12")
def folder_markers(lab):
    """Consoles make folders by empty objects whose keys end in a slash: they are no photos, and nothing is said of them."""
    nothing = Stored(b"", "application/x-directory")
    photos = {name: jpeg(name) for name in ("a.jpg", "sub/b.jpg")}
    objects = {f"e/{name}": Stored(body) for name, body in photos.items()}
    in_stores(lab, objects | {"e/": nothing, "e/sub/": nothing, "e/empty/": nothing}, photos, empty=0)


@case("apache/arrow-rs-object-store#122", "aws/aws-sdk-java-v2#7068", "s3tools/s3cmd#577", "duckdb/duckdb-httpfs#393")
def upload_that_only_seems_complete(lab):
    """S3 says 200 to the end of an upload, keeps the line alive with blanks, and then that it failed: no archive is there."""
    large = jpeg("large", 9 << 20)
    failed = "<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>"

    def attempt(times):
        class Unsure(S3):
            ends = 0

            def __call__(self, request):
                if request.method != "POST" or "uploadId" not in request.query:
                    return super().__call__(request)
                self.ends += 1
                if self.ends <= times:
                    return self.xml("\n" + " " * 300 + failed)
                said = super().__call__(request)
                said.body = said.body.replace(b"?>", b"?>\n" + b" " * 300, 1)
                return said

        store = Unsure()
        with Origin(lambda request: photo(request, large)) as origin, Origin(store) as bucket:
            settings = QUICK | s3_settings(bucket) | {"r2.attempts": 4, "r2.retry_delay": "20ms"}
            run = lab.run([origin.url("/a.jpg")], settings=settings, output="s3://party/event.zip", timeout=60)
        if times < 4:
            check(run.code == 0, run.ending)
            path = f"{lab.folder}/unsure-{times}.zip"
            with open(path, "wb") as file:
                file.write(store.objects["party/event.zip"].body)
            with zipfile.ZipFile(path) as archive:
                check(archive.read("a.jpg") == large, "another photo")
            os.remove(path)
        else:
            check(run.code not in (0, None), f"said that all is well, and there is no archive: {run.ending}")

    each({"well": 0, "once": 1, "always": 1000}, attempt)


# Names


@case("thephpleague/flysystem#1157", "llun/activities.next#1329", "eight04/image-picka#175", "diegosouzapw/OmniRoute#12186")
def joiners(lab):
    """Emoji of several signs, flags, and Persian and Hindi words keep the joiners without which they are others."""
    names = [
        "👨\u200d👩\u200d👧\u200d👦 trip.jpg",
        "🏳\ufe0f\u200d🌈.jpg",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f.jpg",
        "می\u200cخواهم.jpg",
        "क्\u200dष.jpg",
        "é👩🏽\u200d🚀.heic",
    ]
    with Origin(photo) as origin:
        names_are(lab, origin, {origin.url(f"/{quote(name)}"): name for name in names})


@case("madrobby/zaru#21", "abrignoni/VLEAPP#242", "henrikstengaard/hst-imager#39", "plckr/plex-library-html#1")
def device_names(lab):
    """Windows takes `aux.jpg`, `NUL.tar.gz`, `COM¹.jpg` and folders called so for devices, and unpacks nothing there."""
    bad = ["aux.jpg", "NUL.tar.gz", "COM¹.jpg", "con .jpg", "lpt9.HEIC", "PRN", "conin$.jpg", "Aux/IMG.jpg", "a/com0/b.jpg"]
    good = ["COM10.jpg", "CONSTANTIN.jpg", "auxiliary/nulls.jpg", "company.jpg"]
    names = bad + good
    with Origin(photo) as origin:
        photos = [{"url": origin.url(f"/{n}"), "name": name} for n, name in enumerate(names)]
        run = lab.run(photos, settings=QUICK, verify=True)
    check(run.code == 0, run.ending)
    check(run.names[len(bad) :] == good, f"changed {run.names[len(bad):]}")
    device = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)")
    left = [name for name in run.names if any(map(device.search, name.split("/")))]
    check(not left, f"still devices: {left}")
    check([entry.body for entry in run.entries] == [jpeg(f"/{n}") for n in range(len(names))], "other photos")
    check(not run.verified, f"`verify --manifest`: {run.verified}")


@case("Garmelon/PFERD#141", "qtwebkit/qtwebkit#648", "symfony/symfony#29953")
def two_forms_of_an_umlaut(lab):
    """Macs write ü as two signs: such an address is sent as it is, and in the archive there is one folder, not two."""
    composed, apart = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    paths = [f"/{composed}/a.jpg", f"/{apart}/a.jpg", f"/{apart}/b.jpg"]

    def answer(request):
        return photo(request, jpeg(request.decoded)) if request.decoded in paths else Answer(404)

    with Origin(answer) as origin:
        listed = "".join(origin.url(path) + "\n" for path in paths)
        run = lab.run(raw=listed.encode(), settings=QUICK)
        expect(run, {"a.jpg": jpeg(paths[0]), "a (2).jpg": jpeg(paths[1]), "b.jpg": jpeg(paths[2])})
        given = [{"url": origin.url(quote(path)), "name": path[1:]} for path in paths]
        run = lab.run(given, settings=QUICK, verify=True)
    names = [f"{composed}/a.jpg", f"{composed}/a (2).jpg", f"{composed}/b.jpg"]
    expect(run, {name: jpeg(path) for name, path in zip(names, paths)})
    check(not run.verified, f"`verify --manifest`: {run.verified}")


@case("firebase/flutterfire#5673", "pqina/react-filepond#175", "firebase/firebase-js-sdk#5180", "firebase/flutterfire#4908")
def firebase_paths(lab):
    """Object names at Firebase with `+`, blanks, `%2F` that is no slash, two dots and percent, in links as they are written."""
    links = {
        "e%2Fdef+ghi.jpg": "def+ghi.jpg",
        "e%2Fjkl%2Bmno.jpg": "jkl+mno.jpg",
        "e%2Ffirst%20dance.jpg": "first dance.jpg",
        "e%2Fa%252Fb.jpg": "a%2Fb.jpg",
        "e%2Ftest..jpg": "test..jpg",
        "e%2F50%25.jpg": "50%.jpg",
        "e%2F%231%26me.jpg": "#1&me.jpg",
        "e%2Fd%C3%BC.jpg": "dü.jpg",
    }
    objects = {unquote(link): Stored(jpeg(unquote(link))) for link in links}
    with Origin(firebase(objects)) as origin:
        urls = {origin.url(f"/v0/b/party.appspot.com/o/{link}?alt=media&token=t"): name for link, name in links.items()}
        names_are(lab, origin, urls)


@case("supabase/storage#1385", "kevva/download#128", "owncloud/core#929", "kemalcr/kemal#813")
def dispositions(lab):
    """`Content-Disposition` as servers write it: without quotes, in UTF-8 or Latin-1, encoded, or with a path before the name."""
    forms = {
        b"attachment; filename=IMG_1.JPG": "IMG_1.JPG",
        b"attachment;filename = IMG_1.JPG ;size=3000": "IMG_1.JPG",
        b"ATTACHMENT; FILENAME=\"IMG_1.JPG\"": "IMG_1.JPG",
        b"attachment; filename=\"Z_rich 1.jpg\"; filename*=UTF-8''Z%C3%BCrich%201.jpg": "Zürich 1.jpg",
        b"attachment; filename*=utf-8'de'Z%C3%BCrich.jpg; filename=Z.jpg": "Zürich.jpg",
        b"attachment; filename*=iso-8859-1'en'%A3%20rates.jpg": "£ rates.jpg",
        b"attachment; filename=John's%20party.jpg; filename*=UTF-8''John's%20party.jpg": "John's party.jpg",
        "inline; filename=\"Zürich.jpg\"".encode(): "Zürich.jpg",
        "inline; filename=\"Zürich.jpg\"".encode("latin1"): "Zürich.jpg",
        b'attachment; filename="a \\"b\\"; c.jpg"': "a _b_; c.jpg",
        b"attachment; filename=first dance.jpg": "first dance.jpg",
        b'attachment; filename="../../up/x.jpg"': "x.jpg",
        b'attachment; filename="C:\\fakepath\\x.jpg"': "x.jpg",
    }

    def attempt(form):
        with Origin(lambda request: photo(request, headers=[("Content-Disposition", form)])) as origin:
            names_are(lab, origin, {origin.url("/7/download"): forms[form]})

    each({form.decode(errors="replace"): form for form in forms}, attempt)


# Lists


@case("thunderbird/addons-server#195", "jotaen/klog#217", "winpax/sfsu#26", "mozilla/web-ext#1013")
def lists_from_windows(lab):
    """PowerShell and Excel write UTF-16, a mark in front, and CR LF: read, or refused with the remedy."""
    with Origin(photo) as origin:
        urls = [origin.url("/a.jpg"), origin.url("/b.jpg")]
        forms = {"list": "\r\n".join(urls) + "\r\n", "JSON": json.dumps(urls, indent=2).replace("\n", "\r\n")}
        files = {
            f"{form} in {encoding}": text.encode(encoding)
            for form, text in forms.items()
            for encoding in ("utf-8-sig", "utf-16", "utf-16-be")
        }
        files["list in utf-16-be"] = b"\xfe\xff" + files["list in utf-16-be"]
        files["JSON in utf-16-be"] = b"\xfe\xff" + files["JSON in utf-16-be"]

        def attempt(text):
            run = lab.run(raw=text, settings=QUICK)
            if run.code == 65 and not text.startswith(b"\xef"):
                expect_refused(run, 65, r"UTF-8")
            else:
                expect(run, {"a.jpg": jpeg("/a.jpg"), "b.jpg": jpeg("/b.jpg")})

        each(files, attempt)


@case("ytdl-org/youtube-dl#10992", "localfirstapp/1History#14", "streetcomplete/StreetComplete#3439", "TinyTapeout/tt-support-tools#104")
def lines_as_people_paste_them(lab):
    """Lines in quotes, in angle brackets, under a heading, or with marks that nobody sees: understood, or refused by their line."""
    with Origin(photo) as origin:
        a, b = origin.url("/a.jpg"), origin.url("/b.jpg")
        lists = {
            "quotes": f'{a}\n"{b}"\n',
            "single quotes": f"{a}\n'{b}'\n",
            "brackets": f"{a}\n<{b}>\n",
            "a heading": f"{a}\nurl\n{b}\n",
            "a blank that does not break": f"{a}\n\u00a0{b}\u00a0\n",
            "a mark of no width behind": f"{a}\n{b}\u200b\n",
            "a mark of no width before": f"{a}\n\ufeff{b}\n",
        }

        def attempt(text):
            run = lab.run(raw=text.encode(), settings=QUICK)
            if run.code == 65:
                expect_refused(run, 65, r"line 2\b")
            else:
                expect(run, {"a.jpg": jpeg("/a.jpg"), "b.jpg": jpeg("/b.jpg")})

        each(lists, attempt)


@case("delexw/claude-code-trace#85", "oxigraph/json-event-parser#1", "dprint/jsonc-parser#8")
def half_an_emoji(lab):
    """A name was cut in the middle of an emoji, so that its JSON has half of one: the photo is there, or its place is told."""
    with Origin(photo) as origin:
        photos = [{"url": origin.url("/a.jpg"), "name": "a.jpg"}, {"url": origin.url("/b.jpg"), "name": "Anna "}]
        text = json.dumps(photos).replace("Anna ", "Anna \\ud83d")
        run = lab.run(raw=text.encode(), settings=QUICK)
    if run.code == 65:
        expect_refused(run, 65, r"photos\[1\]|\bcolumn \d+|\bline \d+")
    else:
        check(run.code == 0 and len(run.names) == 2, run.ending)


@case("palewire/cummings.ee#307", "mozilla/web-ext#1013")
def slips_in_json(lab):
    """Trailing commas, comments, and a field given twice, of which somebody meant the other: refused, with the place."""
    a, b = '"http://127.0.0.1:9/a.jpg"', '"http://127.0.0.1:9/b.jpg"'
    texts = {
        "a trailing comma": f"[\n{a},\n{b},\n]",
        "a comment": f"[\n{a}, // Anna\n{b}\n]",
        "a field twice": f'[\n{a},\n{{"url": {b}, "url": {a}}}\n]',
        "photos twice": f'{{"photos": [{a}],\n"photos": [{b}]}}',
        "two spellings of a field": f'{{"photos": [{a}], "event_id": "x",\n"eventId": "y"}}',
    }
    place = r"line \d|photos\[1\]|`?photos`?|event_?[iI]d"
    each(texts, lambda text: expect_refused(lab.run(raw=text.encode(), settings=QUICK), 65, place))


# Time


@case("thejoshwolfe/yazl#70", "python/cpython#78278", "codehaus-plexus/plexus-archiver#387", "fox-it/dissect.target#1270")
def times_that_zip_cannot_hold(lab):
    """Photos of 1970 or 9999, where the clock was never set: ZIP's first or last day, and not one that was wrapped around."""
    first, end = (1980, 1, 1), (2107, 12, 31)
    last = first + end
    given = {
        "1970-01-01T00:00:00Z": first,
        "1979-12-31T23:59:59Z": first,
        "2107-12-31T23:59:59Z": end,
        "2108-01-01T00:00:00Z": last,
        "9999-12-30T00:00:00Z": last,
    }
    answered = {
        "Thu, 01 Jan 1970 00:00:00 GMT": first,
        "Wed, 31 Dec 1969 23:59:59 GMT": first,
        "Tue, 01 Jan 2999 00:00:00 GMT": last,
        "Sat, 31 Dec 2016 23:59:60 GMT": None,
        "0": first,
        "": first,
    }
    with Origin(lambda r: photo(r, modified=[*answered][int(r.path[2:-4])] if r.path[1] == "s" else MODIFIED)) as origin:
        photos = [{"url": origin.url(f"/g{n}.jpg"), "modified": time} for n, time in enumerate(given)]
        photos += [origin.url(f"/s{n}.jpg") for n in range(len(answered))]
        run = lab.run(photos, settings=QUICK, verify=True)
    check(run.code == 0, run.ending)
    check(len(run.names) == len(photos), f"{len(run.names)} of {len(photos)} entries")
    wanted = given | answered
    wrong = [
        f"{label} became {entry.time}"
        for (label, day), entry in zip(wanted.items(), run.entries)
        if day and entry.time[:3] not in (day[:3], day[3:])
    ]
    check(not wrong, "; ".join(wrong))
    check(not run.verified, f"`verify --manifest`: {run.verified}")


@case("Stuk/jszip#369", "nextcloud/server#54311", "archiverjs/node-compress-commons#18", "evanmiller/mod_zip#7")
def local_times(lab):
    """The times in an archive are those of the wedding's place, in summer and in winter, and the exact ones beside are UTC."""
    times = {
        "2026-06-20T15:04:05Z": {"Europe/Berlin": (2026, 6, 20, 17, 4), "Asia/Kathmandu": (2026, 6, 20, 20, 49)},
        "2026-12-20T15:04:05Z": {"Europe/Berlin": (2026, 12, 20, 16, 4)},
        "2026-10-25T00:30:00Z": {"Europe/Berlin": (2026, 10, 25, 2, 30)},
        "2026-10-25T01:30:00Z": {"Europe/Berlin": (2026, 10, 25, 2, 30), "Pacific/Kiritimati": (2026, 10, 25, 15, 30)},
        "2026-03-29T01:00:00Z": {"Europe/Berlin": (2026, 3, 29, 3, 0), "America/New_York": (2026, 3, 28, 21, 0)},
        "1980-01-01T00:30:00Z": {"Europe/Berlin": (1980, 1, 1, 1, 30), "America/New_York": (1980, 1, 1, 0, 0)},
    }

    def attempt(zone):
        path = f"{lab.folder}/{zone.replace('/', '-')}.zip"
        with Origin(photo) as origin:
            photos = [{"url": origin.url(f"/{n}.jpg"), "modified": time} for n, time in enumerate(times)]
            run = lab.run(photos, settings=QUICK, output=path, time_zone=zone)
        check(run.code == 0, run.ending)
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        wrong = [
            f"{time} became {info.date_time}"
            for (time, zones), info in zip(times.items(), infos)
            if zones.get(zone, info.date_time[:5]) != info.date_time[:5]
        ]
        check(not wrong, "; ".join(wrong))
        exact = struct.unpack("<I", infos[0].extra[infos[0].extra.index(b"UT") + 5 :][:4])[0]
        check(exact == 1781967845, f"the exact time is {exact}")

    each({zone: zone for zone in ("Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati")}, attempt)
    run = lab.run(["http://127.0.0.1:9/a.jpg"], settings=QUICK, time_zone="Europe/Berln")
    expect_refused(run, 65, "time_zone|Berln")


if __name__ == "__main__":
    main(__doc__, limit=170)
