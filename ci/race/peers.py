"""stream-zip or zipstream-ng, with boto3: `peers.py {stream-zip|zipstream-ng} URLS ENDPOINT KEY`.

The usual way, at its best: keep-alive, STORE, unsigned payloads, no checksums beyond ZIP's own.
"""

import os
import sys
import zlib
from datetime import datetime

import boto3
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

CHUNK = 256 * 1024
# stream-zip reads a photo that is to be stored into memory first. Longer ones it can only deflate.
BUFFERED = 100_000_000

library, urls, endpoint, key = sys.argv[1:]
with open(urls) as lines:
    urls = lines.read().split()
pool = urllib3.PoolManager(ca_certs=os.environ["SSL_CERT_FILE"])


def name(url):
    return url.rsplit("/", 1)[1]


def get(url):
    response = pool.request("GET", url, preload_content=False)
    if response.status != 200:
        raise SystemExit(f"{url}: {response.status}")
    return response


def chunks(response):
    yield from response.stream(CHUNK)
    response.release_conn()


def stream_zip_archive():
    from stream_zip import NO_COMPRESSION_32, ZIP_64, stream_zip

    modified = datetime(2026, 6, 20, 15, 4, 6)

    def members():
        for url in urls:
            response = get(url)
            short = int(response.headers["content-length"]) < BUFFERED
            yield name(url), modified, 0o644, NO_COMPRESSION_32 if short else ZIP_64, chunks(response)

    stored = zlib.compressobj
    return stream_zip(
        members(),
        chunk_size=CHUNK,
        get_compressobj=lambda: stored(level=0, wbits=-zlib.MAX_WBITS),
    )


def zipstream_archive():
    from zipstream import ZIP_STORED, ZipStream

    archive = ZipStream(compress_type=ZIP_STORED)

    def content(url):
        yield from chunks(get(url))

    for url in urls:
        archive.add(content(url), name(url))
    return archive


class Reader:
    """An iterator of bytes as the file that boto3 wants."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.rest = memoryview(b"")

    def read(self, length=-1):
        assert length > 0
        taken = []
        while length > 0:
            if not self.rest:
                piece = next(self.pieces, None)
                if piece is None:
                    break
                self.rest = memoryview(piece)
            taken.append(self.rest[:length])
            length -= len(taken[-1])
            self.rest = self.rest[len(taken[-1]) :]
        return b"".join(taken)


client = boto3.client(
    "s3",
    endpoint_url=endpoint,
    region_name="auto",
    aws_access_key_id="race",
    aws_secret_access_key="race-secret",
    verify=os.environ["SSL_CERT_FILE"],
    config=Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path", "payload_signing_enabled": False},
    ),
)
archive = {"stream-zip": stream_zip_archive, "zipstream-ng": zipstream_archive}[library]()
client.upload_fileobj(
    Reader(archive),
    "race",
    key,
    Config=TransferConfig(
        multipart_threshold=8 * 1024 * 1024, multipart_chunksize=8 * 1024 * 1024, max_concurrency=10
    ),
)
