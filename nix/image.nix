# The container image, packed by the script that ci/image packs it with, so that both have the same files
# and the same configuration. One layer of five files needs none of what dockerTools does, and this way
# tests without nixpkgs test what nixpkgs will do.
{
  pkgs,
  processor,
  sources,
}:
let
  inherit (sources.manifest) package;
in
pkgs.runCommand "${package.name}-${package.version}.tar"
  {
    nativeBuildInputs = [ pkgs.python3 ];
    # No file in it is a link into the store, and no program in it looks there.
    allowedReferences = [ ];
  }
  ''
    python3 ${sources.image}/ci/image.py pack \
      --cargo-toml ${sources.image}/Cargo.toml \
      --processor ${processor}/bin/processor \
      --certificates ${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt \
      $out
  ''
