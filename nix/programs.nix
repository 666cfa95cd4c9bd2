# One of the programs, linked statically.
{
  lib,
  rustPlatform,
  sources,
  # Its name, and Cargo's options beside that.
  program,
  options,
}:
let
  inherit (sources.manifest) package;
in
rustPlatform.buildRustPackage {
  pname = program;
  inherit (package) version;
  src = sources.programs;
  cargoLock.lockFile = sources.lock;

  cargoBuildFlags = [
    "--bin"
    program
  ]
  ++ options;
  # Tests are a check of their own, without link-time optimisation.
  doCheck = false;
  # A list of crates in the binary is not worth a compiler wrapper; Cargo.lock is beside every tag.
  auditable = false;

  env = {
    RUSTFLAGS = "-C target-feature=+crt-static";
    # Line tables are stripped anyway; functions' names stay, for backtraces.
    CARGO_PROFILE_RELEASE_DEBUG = "false";
  };
  # The folder of a build is in no binary, whatever it is called.
  preBuild = ''
    export RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$NIX_BUILD_TOP=/build"
    export CFLAGS="''${CFLAGS-} -ffile-prefix-map=$NIX_BUILD_TOP=/build"
  '';

  # Static: nothing else is needed to run it.
  allowedReferences = [ ];

  meta = {
    inherit (package) description;
    license = lib.licenses.mit;
    mainProgram = program;
    platforms = lib.platforms.linux;
  };
}
