# What the image's program is made of, as an SBOM (CycloneDX), by ci/sbom.py.
{
  lib,
  pkgs,
  rust,
  sources,
  system,
}:
rust.native.buildRustPackage {
  pname = "sbom";
  inherit (sources.manifest.package) version;
  src = sources.sbom;
  cargoLock.lockFile = sources.lock;
  auditable = false;
  doCheck = false;
  nativeBuildInputs = [ pkgs.python3 ];
  buildPhase = ''
    cargo metadata --offline --locked --format-version 1 --no-default-features \
      --filter-platform ${lib.removeSuffix "-linux" system}-unknown-linux-musl >metadata.json
    python3 ci/sbom.py --lock Cargo.lock <metadata.json >sbom.json
  '';
  installPhase = "cp sbom.json $out";
}
