# shellcheck shell=bash disable=SC2154 # the derivation sets them
# The builder of all derivations: as much of nixpkgs' stdenv and of its hooks for Cargo as is used.
set -eu
set -o pipefail

export PATH=$inputsPath:$machinePath
export HOME=/homeless-shelter
# As nixpkgs has it: nobody finds the machine's authorities by chance.
: "${SSL_CERT_FILE=/no-cert-file.crt}"
export SSL_CERT_FILE
# Nix' builders start in 1980, too, which is the first year that a ZIP can hold.
export SOURCE_DATE_EPOCH=315532800
umask 022

runHook() { [ -z "${!1-}" ] || eval "${!1}"; }

cargoBuild() {
  runHook preBuild
  # Stripping is for the end.
  export CARGO_PROFILE_RELEASE_STRIP=false
  # shellcheck disable=SC2086 # several flags
  cargo build -j "$NIX_BUILD_CORES" --target "$cargoTarget" --offline --profile release $cargoBuildFlags
  runHook postBuild
}

cargoInstall() {
  local bin
  mkdir -p "$out/bin"
  for bin in "target/$cargoTarget/release/"*; do
    if [ -f "$bin" ] && [ -x "$bin" ]; then install "$bin" "$out/bin/"; fi
  done
}

cd "$NIX_BUILD_TOP"
if [ -z "${dontUnpack-}" ]; then
  cp -r "$src" source
  chmod -R u+w source
  cd source
fi
if [ -n "${cargoDeps-}" ]; then
  export CARGO_HOME=$NIX_BUILD_TOP/cargo-home
  # In the folder of the build, as nixpkgs has them: no path of the store gets into a program.
  ln -s "$cargoDeps" "$NIX_BUILD_TOP/cargo-vendor-dir"
  mkdir "$CARGO_HOME"
  printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' \
    "$NIX_BUILD_TOP/cargo-vendor-dir" >"$CARGO_HOME/config.toml"
fi
eval "$buildPhase"
[ -n "${dontInstall-}" ] || eval "$installPhase"
if [ -z "${dontFixup-}" ] && [ -d "$out/bin" ]; then
  strip -S "$out/bin/"*
fi
