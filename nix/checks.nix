# What `nix flake check` checks. The checks that need services are in ci/test.
{
  lib,
  packages,
  pkgs,
  rust,
  sources,
}:
let
  inherit (sources.manifest) package;
  version = "5.100.0";
  # The provider that terraform/versions.tf names, which is not the one that nixpkgs has.
  aws = pkgs.fetchzip {
    url = "https://releases.hashicorp.com/terraform-provider-aws/${version}/terraform-provider-aws_${version}_linux_amd64.zip";
    hash = "sha256-iakUDhMw/FKMo9QRF3f2+Qyp3UvcPgco8YxMAY9dQwA=";
    stripRoot = false;
  };
in
{
  formatting =
    pkgs.runCommand "formatting"
      {
        nativeBuildInputs = [
          pkgs.terraform
          rust.toolchain
        ];
      }
      ''
        # Both programs make a folder there.
        export HOME=$TMPDIR
        cd ${sources.formatted}
        cargo fmt --all --check
        terraform fmt -check -recursive ${sources.terraform}/terraform
        touch $out
      '';

  # One derivation, so that the dependencies are compiled once.
  lints-and-unit-tests = rust.native.buildRustPackage {
    pname = "${package.name}-lints-and-unit-tests";
    inherit (package) version;
    src = sources.checks;
    cargoLock.lockFile = sources.lock;
    auditable = false;
    doCheck = false;
    # The build environment names a file of authorities that is not there.
    env.SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
    buildPhase = ''
      runHook preBuild
      cargo test --offline --locked --lib --bins
      cargo clippy --offline --locked --lib --bins --examples -- -D warnings
      runHook postBuild
    '';
    installPhase = "touch $out";
  };

  # Its files, modes and configuration, of which each change shall be seen; and its size.
  image = pkgs.runCommand "image" { nativeBuildInputs = [ pkgs.python3 ]; } ''
    python3 ${sources.image}/ci/image.py describe ${packages.image} >description
    diff -u ${./image.txt} description
    python3 ${sources.image}/ci/image.py budget ${packages.image}
    touch $out
  '';
}
// lib.optionalAttrs (pkgs.stdenv.hostPlatform.system == "x86_64-linux") {
  terraform = pkgs.runCommand "terraform" { nativeBuildInputs = [ pkgs.terraform ]; } ''
    mkdir -p providers/registry.terraform.io/hashicorp/aws/${version}
    ln -s ${aws} providers/registry.terraform.io/hashicorp/aws/${version}/linux_amd64
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$PWD/providers" >terraform.tfrc
    export TF_CLI_CONFIG_FILE=$PWD/terraform.tfrc CHECKPOINT_DISABLE=1 TF_INPUT=0 HOME=$TMPDIR
    cp -r ${sources.terraform} source
    chmod -R u+w source
    for configuration in . examples/complete examples/existing-vpc; do
      terraform -chdir="source/terraform/$configuration" init -no-color
      terraform -chdir="source/terraform/$configuration" validate -no-color
    done
    touch $out
  '';
}
