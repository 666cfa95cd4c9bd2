#!/usr/bin/env python3
"""A plan as people read it: `terraform show -json PLAN | plan.py` prints what each resource would be, sorted.

What is known only once it is made is left out, and so is what is not set. Documents within strings
(policies, the dashboard, user data) are written out.
"""

import base64
import json
import sys

NOTHING = (None, {}, [])


def readable(value, name=""):
    if isinstance(value, dict):
        # Tags once are enough.
        values = {key: readable(inner, key) for key, inner in value.items() if key != "tags_all"}
        return {key: inner for key, inner in values.items() if inner not in NOTHING}
    if isinstance(value, list):
        return [readable(inner) for inner in value]
    if name == "user_data":
        return base64.b64decode(value).decode().splitlines()
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.loads(value)
    return value


plan = json.load(sys.stdin)
json.dump({change["address"]: readable(change["change"]["after"])
           for change in plan["resource_changes"] if change["mode"] == "managed"},
          sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
print()
