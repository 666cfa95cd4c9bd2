# All that the flake has, for one system: what belongs to what, and nothing else.
{
  nixpkgs,
  rust-overlay,
  system,
}:
let
  pkgs = import nixpkgs {
    inherit system;
    overlays = [ (import rust-overlay) ];
    # Terraform and not OpenTofu, because ci/terraform, ci/deploy and the documentation speak of it.
    config.allowUnfreePredicate = package: lib.getName package == "terraform";
  };
  inherit (pkgs) lib;

  sources = import ./sources.nix { inherit lib; };
  rust = import ./rust.nix { inherit lib pkgs; };

  programs = import ./programs.nix {
    inherit lib sources;
    rustPlatform = rust.static;
  };
  # Each program alone, so that neither brings the other along.
  only =
    name:
    pkgs.runCommand name {
      meta.mainProgram = name;
      allowedReferences = [ ];
    } "install -D ${programs}/bin/${name} $out/bin/${name}";
  packages = {
    inherit programs;
    default = packages.processor;
    processor = only "processor";
    submit = only "submit";
    image = import ./image.nix {
      inherit pkgs sources;
      inherit (packages) processor;
    };
  };
in
{
  inherit packages;
  apps = import ./apps.nix { inherit lib pkgs packages; };
  shell = import ./shell.nix { inherit pkgs rust; };
  checks = import ./checks.nix {
    inherit
      lib
      packages
      pkgs
      rust
      sources
      ;
  };
}
