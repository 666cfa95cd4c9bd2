# All that the scripts in ci/ need, but what they install themselves at pinned versions (MinIO, LocalStack,
# moto, …) and an engine, which the system has to run.
{ pkgs, rust }:
pkgs.mkShell {
  packages = [
    rust.toolchain
  ]
  ++ (with pkgs; [
    awscli2
    curl
    docker-client
    go
    jdk17_headless
    jq
    libarchive
    nodejs_22
    openssl
    p7zip
    python3
    shellcheck
    skopeo
    terraform
    unzip
    util-linux
  ]);
}
