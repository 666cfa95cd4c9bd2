# Packages as this project's flake asks nixpkgs for them, made of what is installed on the machine that
# machine.nix describes (`ci/nix` writes it). Static programs are linked against glibc, not musl.
{
  system,
  overlays ? [ ],
  config ? { },
}:
let
  lib = import ./lib.nix;
  machine = import ./machine.nix;
  cpu = builtins.head (builtins.split "-" system);
  target = "${cpu}-unknown-linux-gnu";

  # `stdenv.mkDerivation`: what it exports, and the phases that are used.
  mkDerivation =
    arguments:
    let
      name = arguments.name or "${arguments.pname}-${arguments.version}";
      made = derivation (
        lib.environment (
          removeAttrs arguments [
            "env"
            "meta"
            "passthru"
          ]
        )
        // (arguments.env or { })
        // {
          inherit name system;
          builder = "/bin/bash";
          args = [ ./build.sh ];
          machinePath = machine.path;
          inputsPath = lib.makeBinPath (arguments.nativeBuildInputs or [ ]);
        }
      );
    in
    made
    // (arguments.passthru or { })
    // {
      meta = arguments.meta or { };
      inherit (arguments) name;
    };

  runCommand =
    name: attributes: command:
    mkDerivation (
      {
        inherit name;
        dontUnpack = true;
        buildPhase = command;
        dontInstall = true;
        dontFixup = true;
      }
      // attributes
    );

  # A copy of something outside the store whose hash is known: what fetchers do.
  fixed =
    name: hash: command:
    runCommand name {
      outputHashMode = "recursive";
      outputHashAlgo = "sha256";
      outputHash = hash;
    } command;

  # A package with these of the machine's commands.
  commands =
    name: names:
    runCommand name { meta.mainProgram = builtins.head names; } ''
      mkdir -p $out/bin
      for command in ${toString names}; do
        found=$(type -P "$command") || { echo "the machine has no $command" >&2; exit 1; }
        ln -s "$(realpath "$found")" "$out/bin/$command"
      done
    '';

  rustTarget.hostPlatform = {
    inherit system;
    rust = {
      rustcTarget = target;
      rustcTargetSpec = target;
    };
  };

  # `rustPlatform.buildRustPackage` with `cargoLock.lockFile`: the crates are those of the machine's Cargo.
  makeRustPlatform =
    { cargo, rustc }:
    {
      buildRustPackage =
        arguments:
        let
          vendor = fixed "cargo-vendor-dir" machine.vendorHash "cp -r ${machine.vendor} $out";
          lock = arguments.cargoLock.lockFile;
        in
        # Somebody forgot to vendor again.
        assert builtins.hashFile "sha256" lock == machine.lockHash;
        mkDerivation (
          {
            buildPhase = "cargoBuild";
            installPhase = "cargoInstall";
          }
          // removeAttrs arguments [ "cargoLock" ]
          // {
            cargoDeps = vendor;
            cargoTarget = target;
            cargoBuildFlags = toString (arguments.cargoBuildFlags or [ ]);
            nativeBuildInputs = [
              cargo
              rustc
            ]
            ++ (arguments.nativeBuildInputs or [ ]);
            name = "${arguments.pname}-${arguments.version}";
          }
        );
    };

  packages = {
    inherit
      lib
      machine
      makeRustPlatform
      runCommand
      ;
    stdenv = rustTarget // { inherit mkDerivation; };
    # Linked statically by `-C target-feature=+crt-static` alone, which the flake asks for itself.
    pkgsStatic = packages;

    cacert = runCommand "cacert" { } "install -D -m 644 ${machine.certificates} $out/etc/ssl/certs/ca-bundle.crt";
    fetchzip =
      {
        url,
        hash,
        stripRoot,
      }:
      assert !stripRoot;
      # What the machine has of it already, or a download.
      fixed "source" hash (
        if machine.unpacked ? ${baseNameOf url} then
          "cp -r ${machine.unpacked.${baseNameOf url}} $out"
        else
          "curl -fsSLo archive.zip ${url} && unzip -q archive.zip -d $out"
      );

    mkShell =
      { packages }:
      runCommand "nix-shell" { nativeBuildInputs = packages; } "touch $out";

    writeShellApplication =
      {
        name,
        runtimeInputs,
        text,
      }:
      runCommand name {
        inherit text;
        passAsFile = [ "text" ];
        meta.mainProgram = name;
      } ''
        mkdir -p $out/bin
        {
          echo '#!/bin/bash'
          echo 'set -euo pipefail'
          echo 'export PATH=${lib.makeBinPath runtimeInputs}:$PATH'
          cat $textPath
        } >$out/bin/${name}
        chmod +x $out/bin/${name}
        bash -n $out/bin/${name}
      '';
  }
  // builtins.mapAttrs commands {
    awscli2 = [ "aws" ];
    coreutils = [ "env" ];
    curl = [ "curl" ];
    docker-client = [ "docker" ];
    gnused = [ "sed" ];
    go = [ "go" ];
    jdk17_headless = [ "javac" ];
    jq = [ "jq" ];
    libarchive = [ "bsdtar" ];
    nodejs_22 = [ "node" ];
    openssl = [ "openssl" ];
    p7zip = [ "7z" ];
    python3 = [ "python3" ];
    shellcheck = [ "shellcheck" ];
    skopeo = [ "skopeo" ];
    terraform = [ "terraform" ];
    unzip = [ "unzip" ];
    util-linux = [ "setsid" ];
  };
in
builtins.foldl' (before: overlay: before // overlay before before) packages overlays
