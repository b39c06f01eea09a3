"""Second implementation of proto/sealed-value.md, from the page's rules alone.

    sealed_value.py make  > sealed-value.json     makes the vectors
    sealed_value.py check FILE                    opens and makes again vectors that another implementation wrote

Needs the `cryptography` package. Exit code 1 when a vector does not agree.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CONTEXT_ORDER = ("tenantId", "purpose", "keyId")


def u32(number):
    return struct.pack(">I", number)


def lp(data):
    data = data.encode() if isinstance(data, str) else data
    return u32(len(data)) + data


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64(data) != text:
        raise ValueError("not the canonical spelling")
    return data


def short_hash(label, data):
    return b64(hashlib.sha256(label.encode() + b"\0" + data).digest()[:16])


def serialised_context(context):
    rows = sorted((name.encode(), value.encode()) for name, value in context.items())
    return u32(len(rows)) + b"".join(lp(name) + lp(value) for name, value in rows)


def derive(data_key, announced, tenant_secret):
    info = b"betrace/sealed-value/v1\0" + announced.encode()
    okm = HKDF(hashes.SHA256(), 64, tenant_secret or None, info).derive(data_key)
    return okm[:32], okm[32:]


def tenant_secret_id(secret):
    return short_hash("betrace/tenant-secret/v1", secret) if secret else ""


def announce(case, commitment=None):
    """The text; without a commitment, what the keys are derived from."""
    fields = {
        "v": 1,
        "provider": case["provider"],
        "masterKeyId": case["masterKeyId"],
        "context": {name: case["context"][name] for name in CONTEXT_ORDER if name in case["context"]},
        "wrappedKey": b64(bytes.fromhex(case["wrappedKey"])),
        "commitment": commitment and b64(commitment),
        "created": case["created"],
        "classes": case["classes"],
        "idsBound": case["idsBound"],
        "padded": case["padded"],
        "tenantSecretId": tenant_secret_id(bytes.fromhex(case["tenantSecret"])),
    }
    if commitment is None:
        del fields["commitment"]
    return dump(fields)


def dump(fields):
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def kid_of(announcement):
    return short_hash("betrace/key-announcement/v1", announcement.encode())


PLACES = [
    "attribute", "span.name", "span.trace_state", "span.status_message", "event.name", "link.trace_state", "scope.name",
    "scope.version", "resource.schema_url", "scope.schema_url", "log.body", "log.severity_text", "log.event_name",
    "metric.name", "metric.description", "metric.unit", "entity.schema_url", "entity.type", "entity.key",
]  # fmt: skip


def associated_data(tenant, data_class, place, path, ids):
    """`ids`: 24 bytes, or empty for a value that is bound to none."""
    head = lp("betrace/sealed-value/v1") + lp(tenant) + lp(data_class) + bytes([PLACES.index(place), 1 if ids else 0])
    head += u32(len(path)) + b"".join(lp(key) for key in path)
    return head + bytes(-len(head) % 16) + ids


def pad(plaintext):
    size = len(plaintext) + 1
    full = next((each for each in (16, 32, 64, 128, 256) if each >= size), -(-size // 256) * 256)
    return (plaintext + b"\x80").ljust(full, b"\0")


def unpad(data):
    plaintext = data.rstrip(b"\0")[:-1]
    if pad(plaintext) != data:
        raise ValueError("padding")
    return plaintext


def seal(key, kid, counter, plaintext, data):
    nonce = u32(len(plaintext)) + struct.pack(">Q", counter)
    return "enc.v1." + kid + "." + b64(nonce + AESGCM(key).encrypt(nonce, plaintext, data))


HEAD = re.compile(r"enc\.v1\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{16})")


def find(text):
    """Spans (start, end) of the tokens in a text."""
    found, at = [], 0
    while match := HEAD.search(text, at):
        start = match.start(2)
        length = struct.unpack(">I", base64.urlsafe_b64decode(match.group(2))[:4])[0]
        end = start + -(-(12 + length + 16) * 4 // 3)
        run = re.compile(r"[A-Za-z0-9_-]*").match(text, start)
        if end <= run.end():
            found.append((match.start(), end))
            at = end
        else:
            at = match.start() + len("enc.v1.")
    return found


def open_token(token, announcement, data_key, secret, place, path, ids):
    """Follows section 4's order of opening. Raises for anything that does not open."""
    fields = json.loads(announcement)
    if dump(fields) != announcement or fields["v"] != 1 or set(fields["context"]) != {"tenantId", "purpose"}:
        raise ValueError("not canonical")
    if fields["context"]["purpose"] != "pii" or fields["tenantSecretId"] != tenant_secret_id(secret):
        raise ValueError("not an announcement of this")
    if find(token) != [(0, len(token))] or token[7:29] != kid_of(announcement):
        raise ValueError("not a token of this key")
    announced = dump({name: value for name, value in fields.items() if name != "commitment"})
    key, commitment = derive(data_key, announced, secret)
    if not hmac.compare_digest(commitment, unb64(fields["commitment"])):
        raise ValueError("commitment")
    payload = unb64(token[30:])
    for data_class in fields["classes"]:
        data = associated_data(fields["context"]["tenantId"], data_class, place, path, ids if fields["idsBound"] else b"")
        try:
            plaintext = AESGCM(key).decrypt(payload[:12], payload[12:], data)
        except Exception:
            continue
        return (unpad(plaintext) if fields["padded"] else plaintext), data_class
    raise ValueError("does not open")


def pseudonym(key, data_class, value, bits=128):
    mac = hmac.new(key, lp("betrace/pseudonym/v1") + lp(data_class) + value, hashlib.sha256).digest()[:16]
    head = "tok.v1." + data_class + "." + short_hash("betrace/pseudonym-key/v1", key) + "."
    if bits >= 128:
        return head + b64(mac)
    kept = int.from_bytes(mac, "big") >> (128 - bits) << (128 - bits)
    return head + b64(kept.to_bytes(16, "big"))[: -(-bits // 6)]


# --- AnyValue, by hand: enough protobuf for the vectors ---------------------------------------------------------------


def pseudonym_key_of(root, tenant):
    context = serialised_context({"tenantId": tenant, "purpose": "pseudonym"})
    info = b"betrace/pseudonym-root/v1\0" + context
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(root)


def make_root_row(root, tenant):
    key = pseudonym_key_of(root, tenant)
    return {
        "root": root.hex(),
        "id": short_hash("betrace/pseudonym-root/v1", root),
        "tenant": tenant,
        "key": key.hex(),
        "kid": short_hash("betrace/pseudonym-key/v1", key),
    }


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def string_value(text):
    return field(1, text.encode())


VALUES = {
    "string": string_value("alice@example.com"),
    "empty string": string_value(""),
    "unicode string": string_value("Zoë 🦊"),
    "true": b"\x10\x01",
    "int -1": b"\x18" + varint((1 << 64) - 1),
    "double 1.5": b"\x21" + struct.pack("<d", 1.5),
    "array": field(5, field(1, string_value("a")) + field(1, b"\x18\x07")),
    "kvlist": field(6, field(1, field(1, b"k") + field(2, string_value("v")))),
    "bytes": field(7, bytes(range(16))),
    "nothing set": b"",
    "200 characters": string_value("x" * 200),
}

CASES = [
    {
        "name": "plain",
        "provider": "local",
        "masterKeyId": "local:example",
        "context": {"tenantId": "acme", "purpose": "pii"},
        "classes": ["email", "payment_card"],
        "idsBound": True,
        "padded": False,
        "tenantSecret": "",
    },
    {
        "name": "tenant secret",
        "provider": "aws",
        "masterKeyId": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "context": {"tenantId": "acme", "purpose": "pii"},
        "classes": ["email"],
        "idsBound": True,
        "padded": False,
        "tenantSecret": "5e" * 32,
    },
    {
        "name": "not bound to ids",
        "provider": "vault",
        "masterKeyId": "transit/keys/betrace",
        "context": {"tenantId": "acme", "purpose": "pii"},
        "classes": ["name", "email"],
        "idsBound": False,
        "padded": False,
        "tenantSecret": "",
    },
    {
        "name": "awkward tenant",
        "provider": "local",
        "masterKeyId": "local:example",
        "context": {"tenantId": '__proto__ "\\\n\u0001\u2028/é🦊', "purpose": "pii"},
        "classes": ["a", "b", "c"],
        "idsBound": True,
        "padded": True,
        "tenantSecret": "",
    },
]

WHERE = [
    ("attribute", ["customer.email"]),
    ("attribute", [""]),
    ("span.name", []),
    ("attribute", ["a", "b.é"]),
    ("attribute", ["k" * 300]),
    ("log.body", []),
    ("log.body", ["user", "", "name"]),
]
IDS = bytes(range(16)) + bytes(range(100, 108))


def make_values(case, key, kid):
    values = []
    for counter, (name, plaintext) in enumerate(VALUES.items()):
        place, path = WHERE[counter % len(WHERE)]
        data_class = case["classes"][counter % len(case["classes"])]
        ids = [IDS, b"", bytes(24)][counter % 3]
        data = associated_data(case["context"]["tenantId"], data_class, place, path, ids if case["idsBound"] else b"")
        values.append(
            {
                "name": name,
                "plaintext": plaintext.hex(),
                "place": place,
                "path": path,
                "dataClass": data_class,
                "ids": ids.hex(),
                "counter": counter,
                "associatedData": data.hex(),
                "token": seal(key, kid, counter, pad(plaintext) if case["padded"] else plaintext, data),
            }
        )
    return values


def make_refused(case):
    """What must not open: the first value moved, its announcement relabelled, its token changed."""
    good = case["values"][0]
    announcement, token = case["announcement"], good["token"]

    def refused(name, **changed):
        row = {"announcement": announcement, "token": token, "place": good["place"], "path": good["path"], "ids": good["ids"]}
        row |= changed
        return {"name": name, **row}

    fields = json.loads(announcement)
    edits = {
        "provider": "gcp",
        "masterKeyId": fields["masterKeyId"] + "x",
        "context": {**fields["context"], "tenantId": "beta"},
        "created": "2026-11-21T10:00:01.000Z",
        "classes": fields["classes"] + ["more"],
        "idsBound": not fields["idsBound"],
        "padded": not fields["padded"],
        "tenantSecretId": "" if fields["tenantSecretId"] else "A" * 22,
        "commitment": b64(bytes(32)),
    }
    for name, value in edits.items():
        text = dump({**fields, name: value})
        yield refused("announcement relabelled: " + name, announcement=text, token=token.replace(case["kid"], kid_of(text)))
        yield refused("announcement edited: " + name, announcement=text)
    purpose = dump({**fields, "context": {**fields["context"], "purpose": "probe"}})
    yield refused("another purpose", announcement=purpose, token=token.replace(case["kid"], kid_of(purpose)))
    named = dump({**fields, "context": {**fields["context"], "keyId": "x"}})
    yield refused("a context with a keyId", announcement=named, token=token.replace(case["kid"], kid_of(named)))
    yield refused("another key", path=["customer.emai"])
    yield refused("one key more", path=["customer.email", ""])
    yield refused("two keys for one with a dot", path=["customer", "email"])
    yield refused("text and no attribute", place="span.name", path=[])
    if case["idsBound"]:
        yield refused("another span", ids=(IDS[:16] + bytes(8)).hex())
        yield refused("another trace", ids=(bytes(16) + IDS[16:]).hex())
        yield refused("a resource", ids="")
    yield refused("a character less", token=token[:-1])
    yield refused("a character more", token=token + "A")
    yield refused("a changed length", token=token[:35] + ("A" if token[35] != "A" else "B") + token[36:])
    yield refused("a changed last character", token=token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1])


def make():
    cases = []
    for index, template in enumerate(CASES):
        case = dict(template)
        case["created"] = "2026-11-21T10:00:00.%03dZ" % index
        case["dataKey"] = hashlib.sha256(b"data key %d" % index).hexdigest()
        case["wrappedKey"] = (b"wrapped key %d " % index * 5).hex()
        secret = bytes.fromhex(case["tenantSecret"])
        key, commitment = derive(bytes.fromhex(case["dataKey"]), announce(case), secret)
        case["serialisedContext"] = serialised_context(case["context"]).hex()
        case["sealingKey"] = key.hex()
        case["commitment"] = commitment.hex()
        case["announcement"] = announce(case, commitment)
        case["kid"] = kid_of(case["announcement"])
        case["values"] = make_values(case, key, case["kid"])
        case["refused"] = list(make_refused(case))
        cases.append(case)
    token = cases[0]["values"][0]["token"]
    other = cases[0]["values"][1]["token"]
    texts = [token, "x" + token + "-_9", token + other, "a=" + token + "&b=" + other + ".", token[:-1], "enc.v1." + token]
    pseudonym_key = hashlib.sha256(b"pseudonym key").digest()
    rows = [("email", b"alice@example.com", 128), ("email", b"", 128), ("name", b"alice@example.com", 128)]
    rows += [("email", b"alice@example.com", bits) for bits in (1, 6, 7, 16, 64, 127)]
    return {
        "cases": cases,
        "find": [{"text": text, "tokens": [text[a:b] for a, b in find(text)]} for text in texts],
        "pseudonymKey": pseudonym_key.hex(),
        "pseudonyms": [
            {"dataClass": c, "value": v.hex(), "bits": b, "token": pseudonym(pseudonym_key, c, v, b)} for c, v, b in rows
        ],
        "pseudonymRoots": [
            make_root_row(hashlib.sha256(b"pseudonym root").digest(), tenant) for tenant in ("acme", "__proto__", "é🦊", "*")
        ],
    }


def check(document):
    """Holds every derived field of a vectors file against what this implementation makes of its inputs."""
    wrong = []
    for case in document["cases"]:
        data_key, secret = bytes.fromhex(case["dataKey"]), bytes.fromhex(case["tenantSecret"])
        key, commitment = derive(data_key, announce(case), secret)
        if announce(case, commitment) != case["announcement"]:
            wrong.append(case["name"] + ": announcement")
        for value in case["values"]:
            name = case["name"] + ": " + value["name"]
            plaintext, ids = bytes.fromhex(value["plaintext"]), bytes.fromhex(value["ids"])
            where = value["place"], value["path"], ids
            bound = value["place"], value["path"], ids if case["idsBound"] else b""
            data = associated_data(case["context"]["tenantId"], value["dataClass"], *bound)
            if seal(key, case["kid"], value["counter"], pad(plaintext) if case["padded"] else plaintext, data) != value["token"]:
                wrong.append(name + ": made again, differs")
            try:
                opened = open_token(value["token"], case["announcement"], data_key, secret, *where)
                if opened != (plaintext, value["dataClass"]):
                    wrong.append(name + ": opens to something else")
            except ValueError as error:
                wrong.append(name + ": " + str(error))
        for row in case.get("refused", []):
            try:
                ids = bytes.fromhex(row["ids"])
                open_token(row["token"], row["announcement"], data_key, secret, row["place"], row["path"], ids)
                wrong.append(case["name"] + ": opens although " + row["name"])
            except ValueError:
                pass
    for row in document["find"]:
        if [row["text"][a:b] for a, b in find(row["text"])] != row["tokens"]:
            wrong.append("find: " + row["text"][:40])
    key = bytes.fromhex(document["pseudonymKey"])
    for row in document["pseudonyms"]:
        if pseudonym(key, row["dataClass"], bytes.fromhex(row["value"]), row["bits"]) != row["token"]:
            wrong.append("pseudonym: " + row["token"])
    for row in document.get("pseudonymRoots", []):
        if make_root_row(bytes.fromhex(row["root"]), row["tenant"]) != row:
            wrong.append("pseudonym root: " + row["tenant"])
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
