# What `nix run` runs.
{
  lib,
  packages,
  pkgs,
}:
let
  app = program: description: {
    type = "app";
    inherit program;
    meta = { inherit description; };
  };
  script =
    name: runtimeInputs: text:
    lib.getExe (pkgs.writeShellApplication { inherit name runtimeInputs text; });
  deploys = with pkgs; [
    awscli2
    coreutils
    gnused
    python3
    skopeo
    terraform
  ];
in
rec {
  default = demo;
  demo = app (script "demo" [ ] ''
    exec ${lib.getExe packages.processor} demo "$@"
  '') "Serves sample photos, downloads them and makes wedding-demo.zip";
  submit = app (lib.getExe packages.submit) "Hands in events, and asks for them";
  # In a checkout, because Terraform writes its state and its locks there.
  deploy = app (script "deploy" deploys ''
    if [ ! -x ci/deploy ]; then
      echo "deploy: run this in a checkout of wedding-photo-processor; Terraform's files are kept there" >&2
      exit 2
    fi
    image=(--image ${packages.image})
    for option; do
      case $option in --image | --digest) image=() ;; esac
    done
    exec ci/deploy --programs ${packages.programs}/bin "''${image[@]}" "$@"
  '') "Deploys this image: `ci/deploy`";
}
