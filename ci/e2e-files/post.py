#!/usr/bin/env python3
"""What `ci/mail.py` was sent, as a JSON array, oldest first.

    post.py letters ADDRESS   messages to it: envelope, subject, from, message_id, text, html, the links in each
    post.py webhooks PATH     requests to it, as they were kept

Reads the folder that TEST_MAIL_DIR names.
"""

import email
import email.policy
import html.parser
import json
import os
import re
import sys

FOLDER = os.environ["TEST_MAIL_DIR"]


def kept(end):
    """Numbers and contents of the JSON files whose names are a number and this."""
    numbers = (re.fullmatch(r"(\d+)" + re.escape(end), name) for name in os.listdir(FOLDER))
    for n in sorted(int(match[1]) for match in numbers if match):
        with open(os.path.join(FOLDER, f"{n}{end}"), "rb") as file:
            yield n, json.load(file)


class Links(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        href = dict(attrs).get("href", "") if tag == "a" else ""
        if href.startswith("http"):
            self.found.append(href)


def letter(n, envelope):
    with open(os.path.join(FOLDER, f"{n}.eml"), "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    text, page = (message.get_body([kind]) for kind in ("plain", "html"))
    text, page = text and text.get_content(), page and page.get_content()
    return {
        "envelope": envelope,
        "subject": message["subject"],
        "from": message["from"],
        "message_id": message["message-id"],
        "text": text,
        "html": page,
        "text_links": re.findall(r"https?://\S+", text or ""),
        "html_links": Links(page or "").found,
    }


match sys.argv[1:]:
    case ["letters", address]:
        found = [letter(n, envelope) for n, envelope in kept(".json") if address in envelope["rcpt_tos"]]
    case ["webhooks", path]:
        found = [request for _, request in kept(".webhook.json") if request["path"] == path]
    case _:
        sys.exit(__doc__)
json.dump(found, sys.stdout, indent=2)
print()
