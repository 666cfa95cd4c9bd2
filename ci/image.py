#!/usr/bin/env python3
"""Packs the container image, for ci/image and for the flake; tells what is in one.

    image.py pack --cargo-toml F --processor F --certificates F OUT   make an image; prints its name
    image.py describe IMAGE                                           its files and its configuration
    image.py digest IMAGE                                             what registries call it
    image.py budget IMAGE                                             its sizes; fails where one is over budget

OUT is a tar that is both: an OCI image layout (`skopeo copy oci-archive:…` keeps its digest), and what
`docker save` writes. The same three files make the same bytes: it has no times and no owners.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import struct
import sys
import tarfile

EPOCH = "1970-01-01T00:00:00Z"
# Machines by ELF's number for them, as images call them.
ARCHITECTURES = {62: "amd64", 183: "arm64"}
# At most so many bytes: what a new instance downloads before it can start, and what it keeps.
MAX_COMPRESSED = 15_000_000
MAX_UNPACKED = 45_000_000
OCI = "application/vnd.oci.image"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def package(cargo_toml):
    """Name, version and so on. Without a TOML parser, which Python has from 3.11 on only."""
    head = read(cargo_toml).decode().split("\n[", 1)[0]
    return dict(re.findall(r'^(name|version|license|description) = "(.*)"$', head, re.M))


def pack_tar(entries):
    """A tar of (name, mode, content; a folder's is None) in the order of names, without times or owners."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, mode, content in sorted(entries):
            info = tarfile.TarInfo(path)
            info.mode = mode
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, None if content is None else io.BytesIO(content))
    return out.getvalue()


def root(processor, certificates):
    return pack_tar([
        ("etc", 0o755, None),
        ("etc/group", 0o644, b"processor:x:65532:\n"),
        # glibc (2.34 and later) has both built in; others would be libraries, which are not here.
        ("etc/nsswitch.conf", 0o644, b"hosts: files dns\n"),
        ("etc/passwd", 0o644, b"processor:x:65532:65532::/:/processor\n"),
        ("etc/ssl", 0o755, None),
        ("etc/ssl/certs", 0o755, None),
        ("etc/ssl/certs/ca-certificates.crt", 0o644, certificates),
        ("processor", 0o755, processor),
        ("tmp", 0o1777, None),
    ])


def pack(arguments):
    about = package(arguments.cargo_toml)
    name = f"{about['name']}:{about['version']}"
    processor = read(arguments.processor)
    if processor[:4] != b"\x7fELF":
        sys.exit(f"image: {arguments.processor} is no program for Linux")
    # e_machine, after 16 bytes of identification and e_type.
    architecture = ARCHITECTURES[struct.unpack_from("<H", processor, 18)[0]]
    layer = root(processor, read(arguments.certificates))
    compressed = gzip.compress(layer, compresslevel=9, mtime=0)
    blobs = {}

    def blob(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def path(descriptor):
        return "blobs/" + descriptor["digest"].replace(":", "/")

    config = blob("config.v1+json", json.dumps({
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": {
            "User": "65532:65532",
            "Env": ["WPP_LOG__FORMAT=json"],
            "Entrypoint": ["/processor"],
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": about["name"],
                "org.opencontainers.image.description": about["description"],
                "org.opencontainers.image.version": about["version"],
                "org.opencontainers.image.licenses": about["license"],
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": EPOCH, "created_by": "ci/image.py"}],
    }, indent=2).encode())
    layer = blob("layer.v1.tar+gzip", compressed)
    manifest = blob("manifest.v1+json", json.dumps({
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": config,
        "layers": [layer],
    }, indent=2).encode())
    files = {
        **blobs,
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({
            "schemaVersion": 2,
            "mediaType": f"{OCI}.index.v1+json",
            "manifests": [{**manifest, "annotations": {"org.opencontainers.image.ref.name": about["version"]}}],
        }, indent=2).encode(),
        # For `docker load`.
        "manifest.json": json.dumps(
            [{"Config": path(config), "RepoTags": [name], "Layers": [path(layer)]}], indent=2).encode(),
    }
    with open(arguments.image + ".partial", "wb") as out:
        out.write(pack_tar([(path, 0o644, content) for path, content in files.items()]))
    os.replace(arguments.image + ".partial", arguments.image)
    print(f"image: {arguments.image}, {len(compressed) / 1e6:.1f} MB, linux/{architecture}, {manifest['digest']}",
          file=sys.stderr)
    print(name)


class Image:
    """An image that `pack` made."""

    def __init__(self, file):
        with tarfile.open(file) as tar:
            self.files = {member.name: tar.extractfile(member).read() for member in tar}
        self.digest = json.loads(self.files["index.json"])["manifests"][0]["digest"]
        self.manifest = json.loads(self.blob(self.digest))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))
        self.compressed = self.blob(self.manifest["layers"][0]["digest"])
        self.layer = gzip.decompress(self.compressed)

    def blob(self, digest):
        content = self.files["blobs/" + digest.replace(":", "/")]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest, f"{digest} is damaged"
        return content


def describe(arguments):
    """Without what differs from build to build or from machine to machine: hashes, sizes, the architecture."""
    image = Image(arguments.image)
    with tarfile.open(fileobj=io.BytesIO(image.layer)) as tar:
        for member in tar:
            print(f"{oct(member.mode)[2:]:>4} {member.uid}:{member.gid} {member.mtime} "
                  f"/{member.name}{'/' if member.isdir() else ''}")
    config = {key: value for key, value in image.config.items() if key not in ("architecture", "rootfs")}
    print(json.dumps(config, indent=2))


def digest(arguments):
    print(Image(arguments.image).digest)


def budget(arguments):
    image = Image(arguments.image)
    over = False
    for what, size, allowed in (
        ("compressed", len(image.compressed), MAX_COMPRESSED),
        ("unpacked", len(image.layer), MAX_UNPACKED),
    ):
        print(f"{what}: {size / 1e6:.2f} MB of at most {allowed / 1e6:.2f} MB")
        over |= size > allowed
    if over:
        sys.exit("image: larger than it may be; what grew? (`cargo bloat`, or the files of `image.py describe`)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (pack, describe, digest, budget):
        options = commands.add_parser(command.__name__)
        options.set_defaults(run=command)
        options.add_argument("image")
        if command is pack:
            for name in ("--cargo-toml", "--processor", "--certificates"):
                options.add_argument(name, required=True)
    arguments = parser.parse_args()
    arguments.run(arguments)


main()
