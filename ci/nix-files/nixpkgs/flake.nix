{
  description = "As much of nixpkgs as this project's flake uses, from the tools of the machine; see docs/nix.md";
  outputs = _: { lib = import ./lib.nix; };
}
