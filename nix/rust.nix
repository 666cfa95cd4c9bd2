# The compiler that rust-toolchain.toml names, for this machine and for static programs.
{ lib, pkgs }:
let
  wanted = (lib.importTOML ../rust-toolchain.toml).toolchain;
  platform =
    pkgs: toolchain:
    pkgs.makeRustPlatform {
      cargo = toolchain;
      rustc = toolchain;
    };
in
rec {
  toolchain = pkgs.rust-bin.fromRustupToolchain wanted;
  native = platform pkgs toolchain;
  static = platform pkgs.pkgsStatic (
    pkgs.rust-bin.fromRustupToolchain (
      wanted // { targets = [ pkgs.pkgsStatic.stdenv.hostPlatform.rust.rustcTarget ]; }
    )
  );
}
