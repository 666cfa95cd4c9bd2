# The toolchain that is asked for, which must be the one that the machine has.
_: prev: {
  rust-bin.fromRustupToolchain =
    {
      channel,
      components ? [ ],
      profile ? "minimal",
      targets ? [ ],
    }:
    if channel != prev.machine.rust then
      throw "Rust ${channel} is asked for, and the machine has ${prev.machine.rust}"
    else
      prev.runCommand "rust-${channel}" { } ''
        mkdir -p $out/bin
        ln -s ${prev.machine.sysroot}/bin/* $out/bin/
        for command in cargo rustc${if builtins.elem "clippy" components then " cargo-clippy" else ""}${
          if builtins.elem "rustfmt" components then " rustfmt" else ""
        }; do
          [ -x "$out/bin/$command" ] || { echo "the machine's Rust has no $command" >&2; exit 1; }
        done
        for target in ${toString targets}; do
          [ -d "${prev.machine.sysroot}/lib/rustlib/$target/lib" ] || {
            echo "the machine's Rust has no standard library for $target" >&2
            exit 1
          }
        done
      '';
}
