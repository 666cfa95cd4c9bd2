#!/usr/bin/env python3
"""What real servers, stores and lists do to a downloader, as others reported it, tried on `processor`.

usage: python3 wild.py PROCESSOR_BINARY [case…]   (or `ci/wild`)

Prints `ok NAME`, `FAIL NAME - why`, or `skip NAME - why` where a case cannot be tried (one needs
root), and at the end `N passed, N failed`; exits with 1 if any failed. At most three minutes."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import ssl
import subprocess
import zlib

from lab import (
    CHUNKED,
    PAGE,
    QUICK,
    S3,
    SEVERAL,
    Answer,
    Busy,
    Crowd,
    Drip,
    Origin,
    Rate,
    Silent,
    Stored,
    among_good_ones,
    case,
    check,
    closed_port,
    each,
    endless,
    expect,
    expect_refused,
    firebase,
    firebase_link,
    google_settings,
    google_storage,
    has_ipv6,
    http_date,
    in_stores,
    jpeg,
    main,
    names_are,
    page,
    photo,
    s3_settings,
    saved_name,
    with_addresses,
)

BODY = jpeg("/odd.jpg")


def encoded(encoding, body=BODY):
    """A server that says this `Content-Encoding`."""
    return lambda request: photo(request, body, [("Content-Encoding", encoding)])


# Content-Encoding


@case("rusoto/rusoto#1815", "aws/aws-sdk-js#1712", "dondai44423/donsetch#290", "aws/aws-sdk-kotlin#1358")
def content_encoding_base64(lab):
    """Uploaders label photos `Content-Encoding: base64`, `utf-8` and the like: the bytes are the photo all the same."""
    tokens = ["base64", "utf-8", "binary", "none", "image/jpeg", ""]
    each({token or "empty": encoded(token) for token in tokens}, lambda odd: among_good_ones(lab, odd))


@case("aws-amplify/amplify-js#615")
def content_encoding_base64_in_buckets(lab):
    """The same label, where Firebase's or Google's description of an object, or S3, has it."""
    objects = {"e/a.jpg": Stored(jpeg("a")), "e/b.jpg": Stored(jpeg("b"), encoding="base64")}
    photos = {"a.jpg": jpeg("a"), "b.jpg": jpeg("b")}
    with Origin(firebase(objects)) as origin:
        expect(lab.run([firebase_link(origin, name) for name in objects], settings=QUICK), photos)
    in_stores(lab, objects, photos)


@case("guacsec/trustify#1854", "aws/aws-sdk-java-v2#5769", "localstack#12167")
def content_encoding_aws_chunked(lab):
    """Stores keep `aws-chunked`, which was the upload's, as the photo's encoding."""
    tokens = ["aws-chunked", "aws-chunked,", "aws-chunked, identity", "base64,aws-chunked"]
    each({token: encoded(token) for token in tokens}, lambda odd: among_good_ones(lab, odd))


@case("googleapis/nodejs-storage#566", "google-cloud-ruby#1360")
def content_encoding_packed(lab):
    """Photos that are kept compressed are unpacked: gzip, its other name x-gzip, deflate (RFC 9110, 8.4.1)."""
    packed = {"gzip": gzip.compress(BODY), "x-gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY)}
    each(
        {token: encoded(token, body) for token, body in packed.items()}, lambda odd: among_good_ones(lab, odd)
    )


@case("gsutil#480")
def content_encoding_unreadable(lab):
    """What cannot be unpacked, or is not packed as it says, costs that one photo and not the event."""
    unreadable = {"br": "br", "gzip that is none": "gzip"}
    each(
        {label: encoded(token) for label, token in unreadable.items()},
        lambda odd: among_good_ones(lab, odd, missing=""),
    )


# What is no photo


@case("haroldtreen/epub-press#67", "cozy/cozy-photos-v2#136", "NTUT-NPC/tattoo#83", "llun/feeds#915")
def html_page(lab):
    """A login, virus-scan or error page comes with 200 where a photo should be, and is archived as the photo."""

    def answer(request):
        if request.path == "/behind-login.jpg":
            return Answer(302, [("Location", "/login?next=/behind-login.jpg")])
        return photo(request) if request.path == "/a.jpg" else page(request)

    with Origin(answer) as origin:
        run = lab.run(
            [origin.url(path) for path in ("/a.jpg", "/behind-login.jpg", "/gone.jpg")], settings=QUICK
        )
    expect(run, {"a.jpg": jpeg("/a.jpg")}, {"behind-login.jpg": "not_a_photo", "gone.jpg": "not_a_photo"})


@case()
def html_page_that_is_meant(lab):
    """A page whose size or hash the manifest gives, or that is called .html or .htm, is what is wanted."""
    md5 = base64.b64encode(hashlib.md5(PAGE).digest()).decode()
    photos = {
        "size": {"url": "/story", "name": "story", "size": len(PAGE)},
        "hash": {"url": "/story", "name": "story", "md5": md5},
        "address": {"url": "/guests.html"},
        "name": {"url": "/story", "name": "story.htm"},
    }

    def attempt(meant):
        with Origin(page) as origin:
            run = lab.run([{**meant, "url": origin.url(meant["url"])}], settings=QUICK)
        expect(run, {meant.get("name", "guests.html"): PAGE})

    each(photos, attempt)


@case("node-archiver#364")
def zero_bytes(lab):
    """Photos of no bytes, which broken uploads leave behind, are archived, but somebody is told."""

    def answer(request):
        return photo(request, b"" if request.path == "/zero.jpg" else None)

    with Origin(answer) as origin:
        photos = [origin.url(path) for path in ("/a.jpg", "/zero.jpg")]
        for_scripts = lab.run(photos, settings=QUICK)
        for_people = lab.run(photos, settings=QUICK, args=("--log-level", "error"))
    expect(for_scripts, {"a.jpg": jpeg("/a.jpg"), "zero.jpg": b""})
    check("zero.jpg" in json.dumps(for_scripts.report.get("empty")), "`empty` in --json does not name it")
    check(re.search(r"WARN.*zero\.jpg", for_scripts.stderr), "no warning in the log names it")
    told = re.search(
        r"(?is)\b(empty|no bytes|0 bytes)\b.*zero\.jpg|zero\.jpg.*\b(empty|no bytes|0 bytes)\b",
        for_people.stderr,
    )
    check(told, f"the summary does not say that it is empty: {for_people.stderr[:300]}")


# Refusals


@case("Volafile/volafile-bugs#140", "openzim/sotoki#412", "rclone#5516")
def burst_403(lab):
    """A server answers 403 to everybody for some seconds when requests come too fast; all photos are there."""
    paths = [f"/{number}.jpg" for number in range(150)]
    with Origin(Rate(most=50, pause=3, status=403)) as origin:
        run = lab.run([*map(origin.url, paths)], timeout=110)
    expect(run, {path[1:]: jpeg(path) for path in paths})


@case("rclone#360")
def four_at_once_403(lab):
    """A server serves four requests at once and answers 403 to the others; all photos are there."""
    paths = [f"/{number}.jpg" for number in range(300)]
    with Origin(Crowd(most=4, status=403)) as origin:
        run = lab.run([*map(origin.url, paths)], timeout=110)
    expect(run, {path[1:]: jpeg(path) for path in paths})


@case("NerfIrelia73/HKWordle#8", "cloudflare-docs#32436")
def refused_for_good(lab):
    """What is refused again when it is looked at a second time (expired links, unpaid accounts) is missing."""
    refused = {
        "401.jpg": "forbidden",
        "402.jpg": "payment_required",
        "403.jpg": "forbidden",
        "418.jpg": "refused",
    }
    good = [f"/a{number}.jpg" for number in range(6)]

    def answer(request):
        return photo(request) if request.path in good else Answer(int(request.path[1:4]))

    with Origin(answer) as origin:
        run = lab.run(
            [*map(origin.url, good), *(origin.url(f"/{name}") for name in refused)],
            settings=QUICK,
            timeout=60,
        )
    expect(run, {path[1:]: jpeg(path) for path in good}, refused)
    for name in refused:
        looks = sum(request.method == "GET" for request in origin.asked(f"/{name}"))
        check(looks >= 2, f"{name} was looked at {looks} times")


# One photo that cannot be had


def cut_short(request):
    return Answer(200, [("Content-Type", "image/jpeg")], iter([BODY[:1500]]), len(BODY))


@case("archiverjs/node-archiver#575", "laravel-zipstream#31", "nextcloud/server#59049")
def one_bad_photo(lab):
    """One photo that cannot be fetched, for whatever reason, must not cost the others."""
    bad = {
        "500 for ever": (lambda request: Answer(500), r"\b500\b"),
        "cut short": (cut_short, "broke off|short|early|end"),
        "no HTTP": (lambda request: b"SSH-2.0-OpenSSH_9.2\r\n", "version|status|HTTP"),
        "closed at once": (lambda request: b"", "clos|connection|end"),
        "unknown host": (
            "http://no-such-host.invalid/odd.jpg",
            "lookup|resolve|known|no such host|not exist",
        ),
        "nobody listens": (f"http://127.0.0.1:{closed_port()}/odd.jpg", "connect|refused"),
    }
    each(bad, lambda odd: among_good_ones(lab, odd[0], missing="unreachable", told=odd[1]))


@case()
def one_bad_photo_where_all_must_be_there(lab):
    """Under `on_missing: fail` one that cannot be fetched ends the run with 75, since another try may help."""

    def answer(request):
        return Answer(500) if request.path == "/odd.jpg" else photo(request)

    with Origin(answer) as origin:
        run = lab.run([origin.url("/a.jpg"), origin.url("/odd.jpg")], settings=QUICK, on_missing="fail")
    expect_refused(run, 75, r"odd\.jpg")


@case()
def broken_origin(lab):
    """When more than half of the photos cannot be reached it is the origin: 75 and no archive."""

    def answer(request):
        return Answer(503) if request.path.startswith("/bad") else photo(request)

    def attempt(numbers):
        good, bad = numbers
        names = [f"a{number}.jpg" for number in range(good)] + [f"bad{number}.jpg" for number in range(bad)]
        with Origin(answer) as origin:
            run = lab.run([origin.url(f"/{name}") for name in names], settings=QUICK)
        if bad > good:
            expect_refused(run, 75)
        else:
            expect(
                run,
                {name: jpeg(f"/{name}") for name in names[:good]},
                {name: "unreachable" for name in names[good:]},
            )

    each({"3 of 5": (2, 3), "all of 1": (0, 1), "2 of 4": (2, 2)}, attempt)


@case("curl/curl#2197", "Cacti/cacti#5480")
def causes_that_stay(lab):
    """A bad certificate, an unknown host or an answer that is no HTTP is given up after three tries, not after 40 s."""
    patient = {}

    def quick(odd):
        origin, run = among_good_ones(lab, odd, missing="unreachable", settings=patient)
        check(run.seconds < 15, f"took {run.seconds:.0f} s")
        return origin

    def malformed(_):
        origin = quick(lambda request: b"HTTP/one 200 fine\r\n\r\n")
        for method in ("HEAD", "GET"):
            tries = sum(request.method == method for request in origin.asked("/odd.jpg"))
            check(tries <= 3, f"{tries} {method} requests")

    def certificate(_):
        with Origin(photo, tls=self_signed(lab)) as origin:
            quick(origin.url("/odd.jpg", scheme="https"))
        check(origin.connections <= 3, f"{origin.connections} connections")

    tries = {
        "malformed answer": malformed,
        "unknown host": lambda _: quick("http://no-such-host.invalid/odd.jpg"),
    }
    if shutil.which("openssl"):
        tries["certificate"] = certificate
    each(tries, lambda attempt: attempt(None))


def self_signed(lab):
    """A server's side of TLS with a certificate that nobody vouches for."""
    key, certificate = f"{lab.folder}/key.pem", f"{lab.folder}/certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


# Names


@case("firebase/extensions#72", "omeka/Omeka#118", "billmalarky/react-native-image-cache-hoc#24")
def no_extension(lab):
    """Objects are kept without an extension, and only `Content-Type` or the description says that they are JPEGs."""
    objects = {
        "e/3f2a9c1e": Stored(jpeg("1")),
        "e/clip": Stored(jpeg("2"), "video/mp4"),
        "e/v1.2": Stored(jpeg("3"), "image/png"),
    }
    names = ["3f2a9c1e.jpg", "clip.mp4", "v1.2.png"]
    with Origin(firebase(objects)) as origin:
        names_are(lab, origin, {firebase_link(origin, name): wanted for name, wanted in zip(objects, names)})
    kinds = {"/a": "image/webp", "/b=w2048": "image/jpeg", "/original": "image/heic"}
    with Origin(lambda request: photo(request, kind=kinds[request.path])) as origin:
        wanted = {"/a": "a.webp", "/b=w2048": "b=w2048.jpg", "/original": "original.heic"}
        names_are(lab, origin, {origin.url(path): name for path, name in wanted.items()})
    with Origin(google_storage(objects)) as origin:
        names_are(
            lab,
            origin,
            {f"gs://party/{name}": wanted for name, wanted in zip(objects, names)},
            google_settings(origin),
        )
        run = lab.run(["gs://party/e/"], settings=google_settings(origin), verify=True)
    expect(run, {wanted: objects[name].body for name, wanted in zip(objects, names)}, ordered=False)
    check(not run.verified, f"`verify --manifest`: {run.verified}")


@case("marklieberman/foxygestures#292", "minbrowser/min#1641")
def no_name(lab):
    """The address ends in `download`, `original`, `uc`, a script or a slash, and `Content-Disposition` has the name."""
    paths = [
        "/api/assets/1f/original?key=k",
        "/files/7/download",
        "/uc?export=download&id=1",
        "/action.php?id=3",
        "/photos/7/",
    ]
    disposition = [("Content-Disposition", 'attachment; filename="IMG_0042.JPG"')]

    def attempt(path):
        with Origin(lambda request: photo(request, headers=disposition)) as origin:
            names_are(lab, origin, {origin.url(path): "IMG_0042.JPG"})

    each({path: path for path in paths}, attempt)


@case("LycheeOrg/Lychee#2447")
def names_that_stay(lab):
    """Names that say what they are stay as they are, and so do all that the manifest gives."""
    paths = ["/a.jpeg", "/B.JPG", "/c.heic", "/d.MOV", "/e.png"]
    disposition = [("Content-Disposition", 'attachment; filename="other.jpg"')]
    with Origin(lambda request: photo(request, headers=disposition)) as origin:
        names_are(lab, origin, {origin.url(path): path[1:] for path in paths})
        given = ["Ceremony/first dance", "original", "story.php"]
        run = lab.run(
            [{"url": origin.url("/download"), "name": name} for name in given], settings=QUICK, verify=True
        )
    expect(run, {name: jpeg("/download") for name in given})
    check(not run.verified, f"`verify --manifest`: {run.verified}")


@case("icloudpd#1065", "immich#13268", "photoprism#437")
def pairs(lab):
    """Live Photos, RAW files and sidecars belong to one stem: Ben's film must not lie beside Anna's photo."""
    photos = {
        "/anna/IMG_0001.HEIC": "IMG_0001.HEIC",
        "/ben/IMG_0001.HEIC": "IMG_0001 (2).HEIC",
        "/ben/IMG_0001.MOV": "IMG_0001 (2).MOV",
        "/anna/DSC_2.JPG": "DSC_2.JPG",
        "/carl/DSC_2.JPG": "DSC_2 (2).JPG",
        "/carl/DSC_2.CR3": "DSC_2 (2).CR3",
        "/carl/DSC_2.xmp": "DSC_2 (2).xmp",
    }
    with Origin(lambda request: photo(request, kind="application/octet-stream")) as origin:
        names_are(lab, origin, {origin.url(path): name for path, name in photos.items()})


@case("indico/indico#7479", "pdf-association#4", "ScoopInstaller/Scoop#127")
def long_paths(lab):
    """Windows takes 260 characters in all, with the folder that the archive is unpacked into: 200 are left."""
    names = [
        "/".join(["d" * 200] * 15) + "/x.jpg",
        "/".join(["d" * 200] * 15) + "/y.jpg",
        "a/" * 1500 + "x.jpg",
        "x" * 251 + ".jpg",
        "ü" * 190 + "/" + "ä" * 190 + ".jpeg",
    ]
    with Origin(photo) as origin:
        urls = [origin.url(f"/{number}") for number in range(len(names))]
        run = lab.run(
            [{"url": url, "name": name} for url, name in zip(urls, names)], settings=QUICK, verify=True
        )
    check(run.code == 0, run.ending)
    check(
        [entry.body for entry in run.entries] == [jpeg(f"/{n}") for n in range(len(names))],
        f"{len(run.entries)} entries",
    )
    check(all(len(name) <= 200 for name in run.names), f"lengths {[len(name) for name in run.names]}")
    endings = [name[name.rindex(".") :] for name in names]
    check(all(map(str.endswith, run.names, endings)), f"ends {[name[-6:] for name in run.names]}")
    check(len({name.casefold() for name in run.names}) == len(names), "two have one name")
    check(not run.verified, f"`verify --manifest`: {run.verified}")


# Ways to a photo


@case("firebase/firebase-tools#5014", "flutterfire#7705")
def firebase_metadata_refused(lab):
    """Firebase refuses to describe a photo whose link works."""

    def attempt(status):
        with Origin(firebase({"e/a.jpg": Stored(jpeg("a"))}, metadata=status)) as origin:
            run = lab.run([firebase_link(origin, "e/a.jpg")], settings=QUICK)
        expect(run, {"a.jpg": jpeg("a")})

    each({f"{status}": status for status in (400, 401, 403, 404, 412)}, attempt)


@case("seanmonstar/reqwest#1939", "httplib2#56", "httrack#418")
def dead_first_address(lab):
    """A host has two addresses, and the first does not answer."""
    command = with_addresses(lab, "127.0.0.1", "127.0.0.2")
    settings = {"source.attempts": 1, "source.connect_timeout": "6s"}
    with Origin(photo, "127.0.0.2") as origin, Silent("127.0.0.1", origin.port):
        run = lab.run([origin.url("/a.jpg", SEVERAL)], settings=settings, before=command, timeout=30)
    expect(run, {"a.jpg": jpeg("/a.jpg")})


@case("sagebind/isahc#315", "wreq#1291", "Norconex/crawler#199")
def redirect_in_utf8(lab):
    """`Location` has raw UTF-8, which browsers and curl follow."""

    def answer(request):
        if request.path == "/a.jpg":
            return Answer(302, [("Location", "/hochzeit_ü.jpg".encode())])
        return photo(request, BODY) if request.decoded == "/hochzeit_ü.jpg" else Answer(404)

    with Origin(answer) as origin:
        run = lab.run([origin.url("/a.jpg")], settings=QUICK)
    expect(run, {"a.jpg": BODY})


@case("chentinghao/download_google_drive#8")
def redirect_refused(lab):
    """A link leads to a host that is not allowed: the reason names the host, and no more of the address."""

    def answer(request):
        elsewhere = [("Location", "https://uc1.dl.dropboxusercontent.com/private-path?token=private")]
        return Answer(302, elsewhere) if request.path == "/b.jpg" else photo(request)

    with Origin(answer) as origin:
        settings = QUICK | {"source.allowed_hosts": "127.0.0.1"}
        photos = [origin.url(path) for path in ("/a.jpg", "/b.jpg")]
        for_scripts, for_people = (lab.run(photos, settings=settings, args=args) for args in (["--json"], []))
    expect(for_scripts, {"a.jpg": jpeg("/a.jpg")}, {"b.jpg": "redirect_refused"})
    for run, told in (
        (for_scripts, json.dumps(for_scripts.report["missing"])),
        (for_people, for_people.stderr),
    ):
        check("uc1.dl.dropboxusercontent.com" in told, f"does not name the host: {told[-200:]}")
        check("private" not in run.stdout + run.stderr + for_scripts.note, "shows the path or the query")


@case()
def head_redirected(lab):
    """HEAD is redirected, to a login page elsewhere or in a circle, where GET is answered."""
    places = {"/login.jpg": "https://login.example/", "/circle.jpg": "/circle.jpg"}

    def answer(request):
        if request.method == "HEAD" and request.path in places:
            return Answer(302, [("Location", places[request.path])])
        return photo(request)

    with Origin(answer) as origin:
        settings = QUICK | {"source.allowed_hosts": "127.0.0.1"}
        run = lab.run([origin.url(path) for path in (*places, "/a.jpg")], settings=settings)
    expect(run, {path[1:]: jpeg(path) for path in (*places, "/a.jpg")})


@case("hyperium/hyper#3283", "hyperium/hyper#2569", "curl#11582")
def strict_head(lab):
    """Heads of answers that browsers and curl take: many lines, folded ones, lines that are no header."""
    length = b"Content-Length: %d\r\n" % len(BODY)
    heads = {
        "120 lines": b"".join(b"X-H%d: v\r\n" % number for number in range(120)) + length,
        "a folded line": b"X-Long: a\r\n b\r\n" + length,
        "a line without a colon": b"junk\r\n" + length,
        "a blank in a name": b"X Bad (x): b\r\n" + length,
        "a blank before the colon": length.replace(b":", b" :"),
        "a control character": b"X-Bad: a\x01b\r\n" + length,
    }

    def attempt(lines):
        start = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
        among_good_ones(lab, lambda request: start + (b"" if request.method == "HEAD" else BODY))

    each(heads, attempt)


@case()
def status_203_and_206(lab):
    """203, where a proxy changed headers, and 206 with the whole to a plain GET are the photo all the same."""
    whole = ("Content-Range", f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
    answers = {"203": Answer(203, [], BODY), "206": Answer(206, [whole], BODY)}
    each(answers, lambda answer: among_good_ones(lab, lambda request: answer))


# Time


@case("SamMorrowDrums/remarkable-mcp#107", "open-telemetry/opamp-go#131", "basecamp-sdk#564")
def retry_after_date(lab):
    """`Retry-After` is a date (RFC 9110, 10.2.3), to be read by the clock that the answer itself shows."""
    forms = {
        "seconds": lambda now: [("Retry-After", "4")],
        "date": lambda now: [("Date", http_date(now)), ("Retry-After", http_date(now + 4))],
    }

    def attempt(wait):
        with Origin(Busy(3, wait)) as origin:
            run = lab.run(
                [origin.url("/a.jpg")], settings={"source.attempts": 2, "source.retry_delay": "20ms"}
            )
        expect(run, {"a.jpg": jpeg("/a.jpg")})
        check(len(origin.requests) <= 4, f"asked {len(origin.requests)} times")

    each(forms, attempt)


@case()
def retry_after_again_and_again(lab):
    """Who asks us to wait, and to wait once more, is obeyed; that uses up no attempts."""
    with Origin(Busy(4, lambda now: [("Retry-After", "1")])) as origin:
        run = lab.run([origin.url("/a.jpg")], settings={"source.attempts": 2, "source.retry_delay": "20ms"})
    expect(run, {"a.jpg": jpeg("/a.jpg")})


@case()
def http_dates(lab):
    """`Last-Modified` comes in three forms, and its weekday may be wrong (RFC 9110, 5.6.7)."""
    dates = {
        "/a.jpg": "Sat, 20 Jun 2026 15:04:05 GMT",
        "/b.jpg": "Saturday, 20-Jun-26 15:04:05 GMT",
        "/c.jpg": "Sat Jun 20 15:04:05 2026",
        "/d.jpg": "Fri, 20 Jun 2026 15:04:05 GMT",
    }
    with Origin(lambda request: photo(request, modified=dates[request.path])) as origin:
        run = lab.run([*map(origin.url, dates)], settings=QUICK)
    expect(run, {path[1:]: jpeg(path) for path in dates})
    wrong = [
        f"{date} became {e.time}"
        for date, e in zip(dates.values(), run.entries)
        if e.time != (2026, 6, 20, 15, 4)
    ]
    check(not wrong, "; ".join(wrong))


@case("fpl/scihub#9", "DancingMadFF6#110", "CyberDropDownloader#27")
def trickle(lab):
    """One byte a second is given up at some time, so that the others are not kept waiting for days."""
    settings = QUICK | {"source.stall_timeout": "2s"}
    among_good_ones(lab, Drip(rate=1), missing="unreachable", settings=settings, timeout=45)


@case()
def endless_body(lab):
    """A webcam's stream has no end: that one is missing, and it is not the settings' fault."""

    def camera(request):
        return Answer(200, [("Content-Type", "image/jpeg")], endless(), CHUNKED)

    settings = QUICK | {"engine.spool_limit": "50MiB"}
    among_good_ones(lab, camera, missing="too_large", settings=settings, timeout=45)


# Addresses and lists


@case("tedder/requests-aws4auth#31", "remix-run/remix#11843", "minio/minio#8897")
def addresses_as_given(lab):
    """Path and query are sent byte for byte: signatures are over them, and keys may have dot segments."""
    targets = [
        "/bucket/a/./b.jpg?X-Amz-Signature=1",
        "/bucket/a/../c.jpg?X-Amz-Signature=1",
        "/bucket/a/%2e%2e/d.jpg?sig=1",
        "/e.jpg?name=Anna's&sig=1",
        "/it's//f.jpg",
    ]
    with Origin(photo) as origin:
        run = lab.run([*map(origin.url, targets)], settings=QUICK)
    check(run.code == 0 and len(run.names) == len(targets), run.ending)
    sent = {request.target for request in origin.requests}
    check(
        sent == set(targets), f"sent {sorted(sent - set(targets))} instead of {sorted(set(targets) - sent)}"
    )


@case("aria2/aria2#2021")
def blanks_in_addresses(lab):
    """Two addresses have become one, or control characters got in: refused, with the place."""
    a, b = "http://127.0.0.1:9/a.jpg", "http://127.0.0.1:9/b.jpg"
    lists = {
        "a comma": f"{a}\n{a}, {b}\n",
        "a blank": json.dumps([a, f"{b} {a}"]),
        "a line end in JSON": json.dumps([a, f"{a}\n{b}"]),
        "a tab in JSON": json.dumps([a, {"url": f"{b}\tx"}]),
        "a control character": json.dumps([a, f"{b}\x01x"]),
    }
    each(
        lists,
        lambda text: expect_refused(lab.run(raw=text.encode(), settings=QUICK), 65, r"line 2\b|photos\[1\]"),
    )


@case("ScoopInstaller/Scoop#4015")
def list_with_carriage_returns(lab):
    """Lists from Excel for Mac end their lines with a carriage return alone."""
    with Origin(photo) as origin:
        run = lab.run(raw=f"{origin.url('/a.jpg')}\r{origin.url('/b.jpg')}\r".encode(), settings=QUICK)
    expect(run, {"a.jpg": jpeg("/a.jpg"), "b.jpg": jpeg("/b.jpg")})


@case()
def list_with_tabs(lab):
    """Lines of an address, a tab and a name: refused, or the name taken, but never one long address."""
    with Origin(photo) as origin:
        run = lab.run(
            raw=f"{origin.url('/a.jpg')}\n{origin.url('/b.jpg')}\tIMG_1.jpg\n".encode(), settings=QUICK
        )
    if run.code == 65:
        expect_refused(run, 65, r"line 2\b|photos\[1\]")
    else:
        expect(run, {"a.jpg": jpeg("/a.jpg"), "IMG_1.jpg": jpeg("/b.jpg")})


@case()
def allowed_hosts(lab):
    """Hosts as people write them: IPv6 in brackets, a dot at the end, capitals, umlauts, and a port too many."""
    here = "127.0.0.1"
    pairs = [
        ("localhost", "localhost."),
        ("localhost.", "localhost"),
        ("LOCALHOST", "localhost"),
        ("localhost", "LocalHost"),
    ]
    places = {f"{hosts} for {host}": (hosts, host, here) for hosts, host in pairs}
    if has_ipv6():
        places["[::1]"] = ("[::1]", "[::1]", "::1")

    def works(place):
        hosts, host, address = place
        with Origin(photo, address) as origin:
            run = lab.run([origin.url("/a.jpg", host)], settings=QUICK | {"source.allowed_hosts": hosts})
        expect(run, {"a.jpg": jpeg("/a.jpg")})

    def known(hosts):
        settings = {"source.allowed_hosts": hosts, "source.attempts": 1}
        run = lab.run(["http://münchen.invalid/a.jpg"], settings=settings)
        check(run.code == 75, f"not exit 75 (nobody has this name) but {run.ending}")

    def refused(hosts):
        with Origin(photo) as origin:
            url = origin.url("/a.jpg", "localhost")
            run = lab.run([url], settings=QUICK | {"source.allowed_hosts": hosts})
        expect_refused(run, 2, "allowed.hosts", r"\blocalhost\b")

    tries = {label: (works, place) for label, place in places.items()}
    tries |= {
        hosts: (known, hosts) for hosts in ("münchen.invalid", "xn--mnchen-3ya.invalid", "MÜNCHEN.invalid")
    }
    tries |= {hosts: (refused, hosts) for hosts in ("localhost:8080", "http://localhost")}
    each(tries, lambda attempt: attempt[0](attempt[1]))


# Buckets


@case("outline#13480", "windmill#9634")
def archive_name_in_bucket(lab):
    """An archive in a bucket is saved under the name of its key, unless the manifest names it."""
    destination = "party/albums/smith & jones.zip"

    def attempt(named):
        more, wanted = named
        store = S3()
        with Origin(photo) as origin, Origin(store) as bucket:
            settings = QUICK | s3_settings(bucket)
            run = lab.run([origin.url("/a.jpg")], settings=settings, output=f"s3://{destination}", **more)
        check(run.code == 0, run.ending)
        disposition = store.headers[destination].get("content-disposition")
        check(saved_name(disposition) == wanted, f"saved as {saved_name(disposition)!r}, not {wanted!r}")

    each(
        {
            "key": ({}, "smith & jones.zip"),
            "manifest": ({"archive_name": "Anna & Ben.zip"}, "Anna & Ben.zip"),
        },
        attempt,
    )


@case()
def characters_in_keys(lab):
    """Keys have tabs, line ends and control characters, which XML cannot hold, and blanks, plus and percent."""
    names = {
        "tab\there.jpg": "tab_here.jpg",
        "line\nend.jpg": "line_end.jpg",
        "control\x01.jpg": "control_.jpg",
        "a b+c.jpg": "a b+c.jpg",
        "100%.jpg": "100%.jpg",
        "%41.jpg": "%41.jpg",
        "ü&<.jpg": "ü&_.jpg",
    }
    objects = {f"e/{name}": Stored(jpeg(name)) for name in names}
    in_stores(lab, objects, {wanted: jpeg(name) for name, wanted in names.items()})


@case("ZipArchive#36")
def junk_in_folders(lab):
    """What systems leave in folders (.DS_Store, ._*, Thumbs.db, …) is no photo: left out, and counted."""
    junk = [".DS_Store", "._IMG_1.jpg", "Thumbs.db", "desktop.ini", "__MACOSX/IMG_1.jpg"]
    photos = {name: jpeg(name) for name in ("IMG_1.jpg", "thumbs/IMG_1.jpg")}
    objects = {f"e/{name}": Stored(jpeg(name)) for name in [*junk, *photos]}
    in_stores(lab, objects, photos, ignored=len(junk))


if __name__ == "__main__":
    main(__doc__, limit=170)
