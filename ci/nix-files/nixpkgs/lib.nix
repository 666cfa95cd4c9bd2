# Functions of nixpkgs' `lib`, by its manual.
let
  inherit (builtins)
    any
    concatStringsSep
    foldl'
    isAttrs
    listToAttrs
    map
    ;
in
rec {
  genAttrs =
    names: make:
    listToAttrs (
      map (name: {
        inherit name;
        value = make name;
      }) names
    );
  getName = package: package.pname or (builtins.parseDrvName package.name).name;
  getExe = package: "${package}/bin/${package.meta.mainProgram or (getName package)}";
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  removeSuffix =
    end: text:
    let
      length = builtins.stringLength text - builtins.stringLength end;
    in
    if length >= 0 && builtins.substring length (-1) text == end then
      builtins.substring 0 length text
    else
      text;
  importTOML = file: builtins.fromTOML (builtins.readFile file);
  makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
  optionalAttrs = condition: attributes: if condition then attributes else { };
  licenses.mit.spdxId = "MIT";
  platforms.linux = [
    "x86_64-linux"
    "aarch64-linux"
  ];

  fileset = {
    # A set of files is a list of their paths here, a folder standing for all that is in it.
    unions = foldl' (all: files: all ++ (if builtins.isList files then files else [ files ])) [ ];
    toSource =
      { root, fileset }:
      let
        wanted = map toString (if builtins.isList fileset then fileset else [ fileset ]);
        missing = builtins.filter (path: !builtins.pathExists path) wanted;
        within = path: any (file: path == file || hasPrefix "${file}/" path) wanted;
        above = path: any (file: hasPrefix "${path}/" file) wanted;
      in
      if missing != [ ] then
        throw "lib.fileset: ${concatStringsSep ", " missing} does not exist"
      else
        {
          outPath = builtins.path {
            name = "source";
            path = root;
            filter = path: _: within path || above path;
          };
        };
  };

  # What a derivation's environment takes: no functions, and no sets but derivations.
  environment =
    attributes:
    removeAttrs attributes (
      builtins.filter (
        name:
        let
          value = attributes.${name};
        in
        builtins.isFunction value || (isAttrs value && !(value ? outPath)) || value == null
      ) (builtins.attrNames attributes)
    );
}
