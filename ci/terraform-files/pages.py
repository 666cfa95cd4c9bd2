#!/usr/bin/env python3
"""Inputs and outputs in each module's README.md, from its variables.tf and outputs.tf, which terraform fmt keeps regular.

  pages.py TERRAFORM           writes them below the line `## Inputs`
  pages.py TERRAFORM --check   says which page is not as its module is
"""

import pathlib
import re
import sys

BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}$', re.MULTILINE | re.DOTALL)


def field(body, name):
    """The value of a field; of one over several lines the first."""
    found = re.search(rf"^  {name} *= (.*)$", body, re.MULTILINE)
    return found[1].strip() if found else None


def text(body):
    return field(body, "description").strip('"').replace('\\"', '"').replace("|", "\\|")


def tables(module):
    variables = BLOCK.findall((module / "variables.tf").read_text())
    outputs = BLOCK.findall((module / "outputs.tf").read_text())
    lines = ["## Inputs", "", "| name | type | default | |", "| --- | --- | --- | --- |"]
    for _, name, body in variables:
        kind = field(body, "type")
        kind = "object" if kind.startswith("object") else kind
        default = field(body, "default")
        lines.append(f"| `{name}` | {kind} | {'required' if default is None else f'`{default}`'} | {text(body)} |")
    lines += ["", "## Outputs", "", "| name | |", "| --- | --- |"]
    lines += [f"| `{name}` | {text(body)} |" for _, name, body in outputs]
    return "\n".join(lines) + "\n"


def main(root, check=None):
    wrong = []
    for module in sorted([*root.glob("modules/*"), root / "r2-bucket"]):
        page = module / "README.md"
        if not page.exists():
            sys.exit(f"{module} has no README.md")
        before = page.read_text()
        after = before.split("## Inputs\n")[0].rstrip() + "\n\n" + tables(module)
        if check and before != after:
            wrong.append(str(page))
        elif not check:
            page.write_text(after)
    if wrong:
        sys.exit(f"not as the module is: {', '.join(wrong)}; run ci/terraform-files/pages.py terraform")


main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
