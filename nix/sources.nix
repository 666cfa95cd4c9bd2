# What each derivation is made of. A change of anything else, such as README.md or terraform/, rebuilds none.
{ lib }:
let
  set =
    files:
    lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions files;
    };
  programs = [
    ../Cargo.lock
    ../Cargo.toml
    ../src
    ../templates
  ];
in
{
  manifest = lib.importTOML ../Cargo.toml;
  lock = ../Cargo.lock;

  programs = set programs;
  # tests/it is left out: it runs against services, by `ci/test`.
  checks = set (
    programs
    ++ [
      ../.clippy.toml
      ../.rustfmt.toml
      ../config.example.toml
      ../examples
      ../tests/data
      ../tests/fuzz/corpus
      # An example has it as a module.
      ../tests/it/support/origin.rs
    ]
  );
  formatted = set (
    programs
    ++ [
      ../.rustfmt.toml
      ../benches
      ../examples
      ../tests/it
    ]
  );
  sbom = set (programs ++ [ ../ci/sbom.py ]);
  image = set [
    ../Cargo.toml
    ../ci/image.py
  ];
  terraform = set [
    ../terraform
    ../tests/data
  ];
}
