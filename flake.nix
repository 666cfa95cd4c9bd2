{
  description = "Turns an event's photos, scattered over cloud storage, into ZIP archives: the image and the CLI, reproducibly";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";
    # The compiler that rust-toolchain.toml names, with a standard library for musl: nixpkgs has one version
    # of Rust at a time, whose lints and formatting are others.
    rust-overlay = {
      url = "github:oxalica/rust-overlay";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      rust-overlay,
    }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      each = make: nixpkgs.lib.genAttrs systems (system: make (import ./nix { inherit nixpkgs rust-overlay system; }));
    in
    {
      packages = each (ours: ours.packages);
      apps = each (ours: ours.apps);
      devShells = each (ours: { default = ours.shell; });
      checks = each (ours: ours.checks);
    };
}
