{
  description = "As much of oxalica/rust-overlay as this project's flake uses, from the machine's Rust; see docs/nix.md";
  outputs = _: { overlays.default = import ./default.nix; };
}
