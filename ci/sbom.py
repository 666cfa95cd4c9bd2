#!/usr/bin/env python3
"""What the container's program is made of, as an SBOM: CycloneDX 1.5 in JSON, for whoever asks what is in the image.

    cargo metadata --format-version 1 --no-default-features | sbom.py --lock Cargo.lock > sbom.json

Every crate that is linked into `processor` is a component: its version, its licence, and its SHA-256 as Cargo.lock has
it. What is for builds, macros and tests alone is not among them. The same input makes the same bytes.
"""

import argparse
import json
import re
import sys

ROOT = "wedding-photo-processor"


def checksums(lock):
    """SHA-256 of each crate, by name and version."""
    found = {}
    with open(lock, encoding="utf-8") as file:
        for block in file.read().split("[[package]]"):
            fields = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.M))
            if "checksum" in fields:
                found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def linked(metadata):
    """The packages that the root is linked with, and who needs whom."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]

    def is_macro(identity):
        return any("proc-macro" in target["kind"] for target in packages[identity]["targets"])

    needs, waiting = {}, [root]
    while waiting:
        identity = waiting.pop()
        if identity in needs:
            continue
        # Of kind `null` are those that are linked; others are for builds and tests.
        needs[identity] = [
            dependency["pkg"]
            for dependency in nodes[identity]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]) and not is_macro(dependency["pkg"])
        ]
        waiting.extend(needs[identity])
    return root, packages, needs


def component(package, sha256):
    purl = f"pkg:cargo/{package['name']}@{package['version']}"
    made = {"type": "library", "bom-ref": purl, "name": package["name"], "version": package["version"], "purl": purl}
    if package.get("license"):
        # The old way to write OR.
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if sha256:
        made["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--lock", required=True, metavar="FILE", help="Cargo.lock")
    known = checksums(parser.parse_args().lock)
    root, packages, needs = linked(json.load(sys.stdin))
    made = {
        identity: component(packages[identity], known.get((packages[identity]["name"], packages[identity]["version"])))
        for identity in needs
    }
    unknown = [one["purl"] for identity, one in made.items() if identity != root and "hashes" not in one]
    if unknown or packages[root]["name"] != ROOT:
        sys.exit(f"sbom: no checksum in Cargo.lock for {', '.join(unknown) or packages[root]['name']}")
    top = {**made.pop(root), "type": "application"}
    json.dump({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": top},
        "components": sorted(made.values(), key=lambda one: one["bom-ref"]),
        "dependencies": sorted(
            ({"ref": ref(packages[identity]), "dependsOn": sorted(ref(packages[it]) for it in needed)}
             for identity, needed in needs.items()),
            key=lambda one: one["ref"],
        ),
    }, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def ref(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


main()
