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

  # Each by a build of its own, so that neither brings along what the other needs.
  build =
    program: options:
    import ./programs.nix {
      inherit
        lib
        options
        program
        sources
        ;
      rustPlatform = rust.static;
    };
  packages = {
    default = packages.processor;
    # Without the ways in which people log in to AWS: a container has a role.
    processor = build "processor" [ "--no-default-features" ];
    submit = build "submit" [ ];
    programs = pkgs.runCommand "programs" { allowedReferences = [ ]; } ''
      install -D -t $out/bin ${packages.processor}/bin/processor ${packages.submit}/bin/submit
    '';
    sbom = import ./sbom.nix {
      inherit
        lib
        pkgs
        rust
        sources
        system
        ;
    };
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
