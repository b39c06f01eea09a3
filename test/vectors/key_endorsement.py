"""Second implementation of proto/key-endorsement.md, from the page's rules alone.

    key_endorsement.py make  > key-endorsement.json   makes the vectors
    key_endorsement.py check FILE                     judges vectors, or what `betrace keys export` wrote

Needs the `cryptography` package. Exit code 1 when a vector does not agree, or a key of an export is not in a chain.
"""

import base64
import copy
import datetime
import hashlib
import json
import re
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import ed25519

TYPE = b"application/vnd.betrace.key-endorsement.v1"


def lp(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">I", len(data)) + data


def millis(text):
    parsed = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return (parsed - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def iso(ms):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (ms % 1000)


def statement(tenant, key):
    return (
        lp(tenant)
        + lp(key["keyId"])
        + lp(base64.b64decode(key["publicKey"]))
        + lp(key["endorsedBy"])
        + struct.pack(">Q", millis(key["createdAt"]))
    )


def pae(payload):
    return b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE, len(payload), payload)


def verifies(tenant, key, endorser):
    public, signature = (base64.b64decode(text) for text in (endorser["publicKey"], key["endorsement"] or ""))
    return ed25519.verify(public, signature, pae(statement(tenant, key)))


def is_base64(text, at_least=1):
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        return False
    return base64.b64encode(data).decode() == text and len(data) >= at_least


def is_time(text):
    return isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) and millis(text) >= 0


def is_usable(tenant, keys):
    """Whether a list is one, by section 1: where anything is unclear, all of it is unusable."""
    if not isinstance(tenant, str) or not re.fullmatch(r"[!-~]([ -~]{0,126}[!-~])?", tenant):
        return False
    seen = {}
    for key in keys:
        if key.get("algorithm") != "Ed25519" or key.get("status") not in ("ACTIVE", "ROTATED", "REVOKED"):
            return False
        public = key.get("publicKey")
        if not is_base64(public) or not ed25519.is_sound_point(base64.b64decode(public)):
            return False
        if key.get("keyId") != key_id(base64.b64decode(public)) or not is_time(key.get("createdAt")):
            return False
        if key.get("notAfter") is not None and not is_time(key["notAfter"]):
            return False
        if key.get("endorsedBy") is not None and (not isinstance(key["endorsedBy"], str) or not key["endorsedBy"]):
            return False
        if key.get("endorsement") is not None and not is_base64(key["endorsement"]):
            return False
        if seen.setdefault(key["keyId"], key) != key:
            return False
    return True


def judge(tenant, keys):
    by_id = {key["keyId"]: key for key in keys}

    def verdict(key, path):
        if key["keyId"] in path:
            return "bad"
        if key["endorsedBy"] is None:
            return "first" if key["endorsement"] is None else "bad"
        endorser = by_id.get(key["endorsedBy"])
        if endorser is None:
            return "endorser_unknown"
        if not verifies(tenant, key, endorser):
            return "bad"
        if endorser["status"] == "REVOKED":
            return "endorser_revoked"
        if endorser["notAfter"] is not None and millis(key["createdAt"]) > millis(endorser["notAfter"]):
            return "bad"
        below = verdict(endorser, path | {key["keyId"]})
        return "endorsed" if below == "first" else below

    return {key["keyId"]: verdict(key, frozenset()) for key in keys}


def key_id(public):
    return base64.urlsafe_b64encode(hashlib.sha256(b"betrace/signing-key/v1\0" + public).digest()[:16]).decode().rstrip("=")


def make_key(tenant, name, created_ms, endorser=None):
    """An entry and its private key; `endorser` is such a pair."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    entry = {
        "keyId": key_id(public),
        "algorithm": "Ed25519",
        "publicKey": base64.b64encode(public).decode(),
        "createdAt": iso(created_ms),
        "notAfter": None,
        "status": "ACTIVE",
        "endorsedBy": None,
        "endorsement": None,
    }
    if endorser is not None:
        entry["endorsedBy"] = endorser[0]["keyId"]
        entry["endorsement"] = base64.b64encode(endorser[1].sign(pae(statement(tenant, entry)))).decode()
        endorser[0]["status"] = "ROTATED"
        endorser[0]["notAfter"] = iso(created_ms + 60_000)
    return entry, private


def make_chain(tenant, name, length):
    pairs = []
    for number in range(length):
        created = 1_790_000_000_000 + number * 7_776_000_000 + number
        pairs.append(make_key(tenant, "%s %d" % (name, number), created, pairs[-1] if pairs else None))
    return pairs


def listed(name, tenant, keys):
    if not is_usable(tenant, keys):
        return {"name": name, "tenantId": tenant, "keys": keys, "usable": False}
    signed = {key["keyId"]: statement(tenant, key).hex() for key in keys if key["endorsedBy"] is not None}
    return {"name": name, "tenantId": tenant, "keys": keys, "usable": True, "statements": signed, "verdicts": judge(tenant, keys)}


def tampered(name, change):
    keys = [entry for entry, _ in make_chain("acme", "tampered", 3)]
    keys = change(copy.deepcopy(keys)) or keys
    return listed(name, "acme", keys)


def flipped(text, bit):
    data = bytearray(base64.b64decode(text))
    data[bit // 8] ^= 1 << (bit % 8)
    return base64.b64encode(bytes(data)).decode()


def make():
    documents = []
    for tenant in ("acme", "__proto__", "a \"\\b"):
        documents.append(listed("a chain of four", tenant, [entry for entry, _ in make_chain(tenant, tenant, 4)]))

    def edit(index, field, value):
        def change(keys):
            keys[index][field] = value(keys) if callable(value) else value
            return keys

        return change

    def circle(keys):
        first, second = make_chain("acme", "tampered", 2)
        first[0]["endorsedBy"] = second[0]["keyId"]
        signature = second[1].sign(pae(statement("acme", first[0])))
        first[0]["endorsement"] = base64.b64encode(signature).decode()
        second[0]["endorsement"] = base64.b64encode(first[1].sign(pae(statement("acme", second[0])))).decode()
        return [first[0], second[0]]

    documents += [
        tampered("one bit of a signature", edit(1, "endorsement", lambda keys: flipped(keys[1]["endorsement"], 77))),
        tampered("another time", edit(2, "createdAt", "2026-01-01T00:00:00.000Z")),
        tampered("another public key", edit(2, "publicKey", lambda keys: keys[1]["publicKey"])),
        tampered("another endorser", edit(2, "endorsedBy", lambda keys: keys[0]["keyId"])),
        tampered("no endorsement", edit(1, "endorsement", None)),
        tampered("a short endorsement", edit(1, "endorsement", "AAAA")),
        tampered("an endorsement by nobody", edit(0, "endorsement", lambda keys: keys[1]["endorsement"])),
        tampered("the first key is not there", lambda keys: keys[1:]),
        tampered("the first key is revoked", edit(0, "status", "REVOKED")),
        tampered("the last key is revoked", edit(2, "status", "REVOKED")),
        tampered("in another order", lambda keys: keys[::-1]),
        tampered("a circle", circle),
        tampered("the endorser had ended before", edit(0, "notAfter", lambda keys: iso(millis(keys[1]["createdAt"]) - 1))),
        tampered("the endorser ended at that time", edit(0, "notAfter", lambda keys: keys[1]["createdAt"])),
        tampered("an unknown status", edit(0, "status", "RETIRED")),
        tampered("a status in small letters", edit(0, "status", "active")),
        tampered("no status", edit(0, "status", None)),
        tampered("another algorithm", edit(0, "algorithm", "RSA")),
        tampered("another spelling of the algorithm", edit(0, "algorithm", "ed25519")),
        tampered("the id of another key", edit(0, "keyId", lambda keys: keys[1]["keyId"])),
        tampered("a key id of half the length", edit(0, "keyId", lambda keys: keys[0]["keyId"][:11])),
        tampered("a public key of small order", edit(0, "publicKey", base64.b64encode(bytes(32)).decode())),
        tampered("a public key without its padding", edit(0, "publicKey", lambda keys: keys[0]["publicKey"].rstrip("="))),
        tampered("a time without milliseconds", edit(1, "createdAt", "2026-01-01T00:00:00Z")),
        tampered("no time", edit(1, "createdAt", None)),
        tampered("an end that is no time", edit(0, "notAfter", "never")),
        tampered("an empty endorser", edit(0, "endorsedBy", "")),
        tampered("an endorsement that is no base64", edit(1, "endorsement", "?")),
        tampered("a key listed twice, the same", lambda keys: keys + [dict(keys[0])]),
        *(
            tampered("a key listed twice, with another %s" % name, lambda keys, name=name, value=value: keys + [{**keys[0], name: value}])
            for name, value in (
                ("status", "REVOKED"),
                ("createdAt", "2026-01-01T00:00:00.000Z"),
                ("notAfter", "2036-01-01T00:00:00.000Z"),
                ("endorsedBy", "somebody"),
                ("endorsement", "AAAA"),
            )
        ),
    ]
    moved = [entry for entry, _ in make_chain("acme", "tampered", 2)]
    documents.append(listed("another tenant's list", "other", moved))
    documents += [listed("no possible tenant", tenant, moved) for tenant in ("", " acme", "m\u00fcnchen", "x" * 129)]
    return {"made_by": "test/vectors/key_endorsement.py", "lists": documents}


def check(document):
    wrong = []
    lists = document["lists"] if isinstance(document, dict) and "lists" in document else document
    for each in lists if isinstance(lists, list) else [lists]:
        usable = is_usable(each["tenantId"], each["keys"])
        if usable != each.get("usable", True):
            wrong.append("%s: usable is %s" % (each.get("name", each["tenantId"]), usable))
        if not usable:
            continue
        verdicts = judge(each["tenantId"], each["keys"])
        if "verdicts" in each:
            if verdicts != each["verdicts"]:
                wrong.append(each["name"] + ": verdicts differ")
            continue
        for key in each["keys"]:
            if verdicts[key["keyId"]] not in ("first", "endorsed"):
                wrong.append("%s: %s" % (key["keyId"], verdicts[key["keyId"]]))
    return wrong


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        json.dump(make(), sys.stdout, indent=1, ensure_ascii=True)
        print()
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        with open(sys.argv[2], encoding="utf-8") as file:
            problems = check(json.load(file))
        for problem in problems:
            print(problem)
        print("all agree" if not problems else "%d do not agree" % len(problems))
        sys.exit(1 if problems else 0)
    else:
        sys.exit(__doc__)
