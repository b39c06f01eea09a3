"""Second implementation of proto/evidence.md, from the page's rules alone.

    evidence.py make > evidence.json      makes the vectors
    evidence.py check FILE                judges signed spans that another implementation wrote

Needs the `cryptography` package for Ed25519. Exit code 1 when a vector does not agree.
"""

import base64
import copy
import hashlib
import hmac
import json
import math
import re
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import ed25519

DEFAULT_COVERAGE = {
    "resource_attributes": ["service.name", "service.namespace", "service.instance.id", "betrace.tenant"],
    "mutable": [],
}
STATEMENT_TYPE = "application/vnd.betrace.evidence.statement.v1"
SPAN_MAC_TYPE = "application/vnd.betrace.evidence.span-mac.v1"
SIGNATURE_KEYS = {
    "span.signature": "signature",
    "span.signature.algorithm": "algorithm",
    "span.signature.timestamp": "timestamp",
    "span.signature.key_id": "key_id",
    "span.signature.proof": "proof",
}


def u32(number):
    return struct.pack(">I", number & 0xFFFFFFFF)


def u64(number):
    return struct.pack(">Q", int(number) & 0xFFFFFFFFFFFFFFFF)


def lp(data):
    data = data.encode() if isinstance(data, str) else data
    return u32(len(data)) + data


def sha256(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64(data) != text:
        raise ValueError("not the canonical spelling")
    return data


# 1. Canonical form, from OTLP/JSON


def id_bytes(text):
    data = bytes.fromhex(text or "")
    return lp(data if any(data) else b"")


def double(value):
    if isinstance(value, str):
        value = float(value.replace("Infinity", "inf"))
    if math.isnan(value):
        return bytes.fromhex("7ff8000000000000")
    return struct.pack(">d", 0.0 if value == 0 else value)


def value(any_value):
    present = {name: inner for name, inner in (any_value or {}).items() if inner is not None}
    if not present:
        return b"\x00"
    ((name, inner),) = present.items()
    if name == "stringValue":
        return b"\x01" + lp(inner)
    if name == "boolValue":
        return b"\x02" + (b"\x01" if inner else b"\x00")
    if name == "intValue":
        return b"\x03" + u64(int(inner))
    if name == "doubleValue":
        return b"\x04" + double(inner)
    if name == "arrayValue":
        values = inner.get("values") or []
        return b"\x05" + u32(len(values)) + b"".join(value(each) for each in values)
    if name == "kvlistValue":
        return b"\x06" + attributes(inner.get("values") or [])
    if name == "bytesValue":
        return b"\x07" + lp(base64.b64decode(inner))
    raise ValueError("unknown value")


def attributes(entries):
    rows = sorted((entry.get("key", "").encode(), value(entry.get("value"))) for entry in entries)
    return u32(len(rows)) + b"".join(lp(key) + encoded for key, encoded in rows)


def matches(glob, key):
    return re.fullmatch(".*".join(re.escape(part) for part in glob.split("*")), key, re.DOTALL) is not None


def canonical(resource, scope, span, coverage=DEFAULT_COVERAGE):
    covered = [a for a in resource.get("attributes") or [] if a.get("key", "") in coverage["resource_attributes"]]
    own = [
        a
        for a in span.get("attributes") or []
        if not a.get("key", "").startswith("span.signature")
        and not any(matches(glob, a.get("key", "")) for glob in coverage["mutable"])
    ]
    status = span.get("status") or {}
    events = span.get("events") or []
    links = span.get("links") or []
    return b"".join(
        [
            b"\x01",
            attributes(covered),
            lp(scope.get("name", "")),
            lp(scope.get("version", "")),
            id_bytes(span.get("traceId")),
            id_bytes(span.get("spanId")),
            id_bytes(span.get("parentSpanId")),
            lp(span.get("traceState", "")),
            lp(span.get("name", "")),
            u32(span.get("kind", 0)),
            u64(span.get("startTimeUnixNano", 0)),
            u64(span.get("endTimeUnixNano", 0)),
            u32(status.get("code", 0)),
            lp(status.get("message", "")),
            attributes(own),
            u32(len(events)),
            *(
                u64(e.get("timeUnixNano", 0)) + lp(e.get("name", "")) + attributes(e.get("attributes") or [])
                for e in events
            ),
            u32(len(links)),
            *(
                id_bytes(each.get("traceId"))
                + id_bytes(each.get("spanId"))
                + lp(each.get("traceState", ""))
                + attributes(each.get("attributes") or [])
                for each in links
            ),
        ]
    )


# 2. Leaf and tree, in the recursive words of RFC 6962


def leaf_hash(form):
    return sha256(b"\x00" + form)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def split(count):
    half = 1
    while half * 2 < count:
        half *= 2
    return half


def root_of(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = split(len(leaves))
    return node_hash(root_of(leaves[:half]), root_of(leaves[half:]))


def path_of(index, leaves):
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if index < half:
        return path_of(index, leaves[:half]) + [root_of(leaves[half:])]
    return path_of(index - half, leaves[half:]) + [root_of(leaves[:half])]


def root_from_path(leaf, index, count, path):
    """None when the path has another length than index and count ask for."""
    if count == 1:
        return leaf if not path else None
    if not path:
        return None
    half = split(count)
    if index < half:
        inner = root_from_path(leaf, index, half, path[:-1])
        return inner and node_hash(inner, path[-1])
    inner = root_from_path(leaf, index - half, count - half, path[:-1])
    return inner and node_hash(path[-1], inner)


# 3. Statements


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def f_uint(field, number):
    return varint(field << 3) + varint(number) if number else b""


def f_bytes(field, data, keep_empty=False):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data if data or keep_empty else b""


def f_fixed64(field, number):
    return varint(field << 3 | 1) + struct.pack("<Q", number) if number else b""


def encode_coverage(coverage):
    return b"".join(f_bytes(1, key, True) for key in coverage["resource_attributes"]) + b"".join(
        f_bytes(2, glob, True) for glob in coverage["mutable"]
    )


def encode_tombstone(tombstone):
    ranges = b"".join(f_bytes(3, f_uint(1, first) + f_uint(2, count), True) for first, count in tombstone["ranges"])
    return (
        f_bytes(1, bytes.fromhex(tombstone["boot_id"]))
        + f_uint(2, tombstone["number"])
        + ranges
        + f_uint(4, tombstone["reason"])
    )


def encode_statement(s):
    out = f_uint(1, s["kind"]) + f_bytes(2, s["instance_id"]) + f_bytes(3, bytes.fromhex(s["boot_id"]))
    out += f_bytes(4, s["tenant"]) + f_uint(5, s["number"]) + f_fixed64(6, int(s["time_unix_nano"]))
    out += f_bytes(7, bytes.fromhex(s["previous"])) + f_bytes(8, bytes.fromhex(s["policy_id"]))
    out += f_bytes(9, s["key_id"]) + f_uint(10, s.get("leaf_count", 0)) + f_bytes(11, bytes.fromhex(s.get("root", "")))
    if "coverage" in s:
        out += f_bytes(12, encode_coverage(s["coverage"]), True)
    if "tombstone" in s:
        out += f_bytes(13, encode_tombstone(s["tombstone"]), True)
    return out


POLICY = {"selection": 1, "globs": [], "coverage": DEFAULT_COVERAGE, "algorithm": "ed25519-merkle-v1"}


def encode_policy(p):
    out = f_uint(1, p["selection"]) + b"".join(f_bytes(2, glob, True) for glob in p["globs"])
    if p["coverage"] != DEFAULT_COVERAGE:
        out += f_bytes(3, encode_coverage(p["coverage"]), True)
    return out + f_bytes(4, p["algorithm"])


def fields(data):
    pos = 0

    def read_varint():
        nonlocal pos
        number = shift = 0
        while True:
            byte = data[pos]
            pos += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while pos < len(data):
        tag = read_varint()
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            yield field, read_varint()
        elif wire == 1:
            yield field, struct.unpack("<Q", data[pos : pos + 8])[0]
            pos += 8
        elif wire == 2:
            length = read_varint()
            if pos + length > len(data):
                raise ValueError("overrun")
            yield field, data[pos : pos + length]
            pos += length
        else:
            raise ValueError("wire type")


def decode_coverage(data):
    coverage = {"resource_attributes": [], "mutable": []}
    for field, inner in fields(data):
        coverage[{1: "resource_attributes", 2: "mutable"}[field]].append(inner.decode())
    return coverage


def decode_batch(data):
    s = {"kind": 0, "instance_id": "", "boot_id": "", "tenant": "", "number": 0, "time_unix_nano": "0"}
    s |= {"previous": "", "policy_id": "", "key_id": "", "leaf_count": 0, "root": ""}
    for field, inner in fields(data):
        if field in (1, 5, 10):
            s[{1: "kind", 5: "number", 10: "leaf_count"}[field]] = inner
        elif field == 6:
            s["time_unix_nano"] = str(inner)
        elif field in (2, 4, 9):
            s[{2: "instance_id", 4: "tenant", 9: "key_id"}[field]] = inner.decode()
        elif field in (3, 7, 8, 11):
            s[{3: "boot_id", 7: "previous", 8: "policy_id", 11: "root"}[field]] = inner.hex()
        elif field == 12:
            s["coverage"] = decode_coverage(inner)
        else:
            raise ValueError("not a batch")
    sound = s["kind"] == 1 and s["leaf_count"] >= 1 and len(s["root"]) == 64 and s["number"] >= 1
    if not sound or s.get("coverage") == DEFAULT_COVERAGE or encode_statement(s) != data:
        raise ValueError("not the one form of a batch")
    return s


def decode_policy(data):
    policy = {"selection": 0, "globs": [], "coverage": DEFAULT_COVERAGE, "algorithm": ""}
    for field, inner in fields(data):
        if field == 1:
            policy["selection"] = inner
        elif field == 2:
            policy["globs"].append(inner.decode())
        elif field == 3:
            policy["coverage"] = decode_coverage(inner)
        elif field == 4:
            policy["algorithm"] = inner.decode()
        else:
            raise ValueError("not a policy")
    known = policy["selection"] == 3 or policy["selection"] in (1, 2) and not policy["globs"]
    if not known or policy["algorithm"] not in ("ed25519-merkle-v1", "hmac-sha256") or encode_policy(policy) != data:
        raise ValueError("not the one form of a policy")
    return policy


# 4. Signature, 5. attributes


def pae(kind, payload):
    return f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload


def string_attribute(key, text):
    return {"key": key, "value": {"stringValue": text}}


def sign_batch(key, statement, entries):
    """Adds the attributes to (resource, scope, span) entries, which are the leaves in order."""
    coverage = statement.get("coverage", DEFAULT_COVERAGE)
    leaves = [leaf_hash(canonical(resource, scope, span, coverage)) for resource, scope, span in entries]
    statement = {**statement, "leaf_count": len(leaves), "root": root_of(leaves).hex()}
    data = encode_statement(statement)
    signature = key.sign(pae(STATEMENT_TYPE, data))
    for index, (_, _, span) in enumerate(entries):
        path = "".join(b64(node) for node in path_of(index, leaves))
        span.setdefault("attributes", []).extend(
            [
                string_attribute("span.signature", b64(signature)),
                string_attribute("span.signature.algorithm", "ed25519-merkle-v1"),
                string_attribute("span.signature.timestamp", statement["time_unix_nano"]),
                string_attribute("span.signature.key_id", statement["key_id"]),
                string_attribute("span.signature.proof", f"v1.{index}.{b64(data)}.{b64(encode_policy(POLICY))}{path and '.' + path}"),
            ]
        )
    return statement, data, signature


STATEMENT_PREFIX = "betrace.statement."
ROW_NODES_MAX = 32


def level_above(nodes):
    """One step up: pairs are hashed, a node without a sibling is its own parent."""
    pairs = [node_hash(nodes[at], nodes[at + 1]) for at in range(0, len(nodes) - 1, 2)]
    return pairs + nodes[len(nodes) - 1 :] if len(nodes) % 2 else pairs


def row_at(height, leaves):
    nodes = leaves
    for _ in range(height):
        nodes = level_above(nodes)
    return nodes


def row_length(height, count):
    return -(-count // 2**height)


def root_height(count):
    height = 0
    while row_length(height, count) > 1:
        height += 1
    return height


def path_to_row(index, height, leaves):
    path, nodes = [], leaves
    for _ in range(height):
        if index ^ 1 < len(nodes):
            path.append(nodes[index ^ 1])
        nodes, index = level_above(nodes), index // 2
    return path


def node_from_path(leaf, index, count, height, path):
    """The node of the row that a leaf leads to. None when the path has another length than the page asks for."""
    node, rest = leaf, list(path)
    for _ in range(height):
        if index ^ 1 < count:
            if not rest:
                return None
            sibling = rest.pop(0)
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index, count = index // 2, -(-count // 2)
    return None if rest else node


def sign_compact(key, statement, groups):
    """Adds the attributes to (resource, scope, spans) groups, whose spans are the leaves in order."""
    coverage = statement.get("coverage", DEFAULT_COVERAGE)
    leaves = [leaf_hash(canonical(resource, scope, span, coverage)) for resource, scope, spans in groups for span in spans]
    statement = {**statement, "leaf_count": len(leaves), "root": root_of(leaves).hex()}
    data = encode_statement(statement)
    sid = b64(sha256(data)[:16])
    head = f"v1.{b64(data)}.{b64(key.sign(pae(STATEMENT_TYPE, data)))}.{b64(encode_policy(POLICY))}"
    index = 0
    for resource, _, spans in groups:
        height = 0
        while row_length(height, len(leaves)) > min(ROW_NODES_MAX, len(spans)):
            height += 1
        row = "".join(b64(node) for node in row_at(height, leaves)) if height < root_height(len(leaves)) else ""
        resource.setdefault("attributes", []).append(string_attribute(STATEMENT_PREFIX + sid, head + (row and "." + row)))
        for span in spans:
            path = "".join(b64(node) for node in path_to_row(index, height, leaves))
            text = f"v1.{sid}.{index}" + (path and "." + path)
            span.setdefault("attributes", []).append(string_attribute("span.signature", text))
            index += 1


def mac_of(secret, key_id, timestamp, tenant, leaf, coverage=DEFAULT_COVERAGE):
    message = lp(key_id) + u64(timestamp) + lp(tenant) + lp(encode_coverage(coverage)) + leaf
    return hmac.new(secret, pae(SPAN_MAC_TYPE, message), hashlib.sha256).digest()


# 6. Verification


def named_tenant(resource):
    """What the first betrace.tenant says; empty where there is none, or no text."""
    for attribute in resource.get("attributes") or []:
        if attribute.get("key") == "betrace.tenant":
            return (attribute.get("value") or {}).get("stringValue") or ""
    return ""


def verdict(resource, scope, span, public_keys, secrets):
    """`public_keys` and `secrets`: tenant, then key id."""
    texts = {}
    signed = [a for a in span.get("attributes") or [] if a.get("key", "").startswith("span.signature")]
    if not signed:
        return "unsigned"
    if len(signed) == 1 and signed[0]["key"] == "span.signature":
        text = (signed[0].get("value") or {}).get("stringValue")
        if isinstance(text, str) and text.startswith("v1."):
            return compact_verdict(resource, scope, span, text, public_keys)
    for attribute in signed:
        name = SIGNATURE_KEYS.get(attribute["key"])
        text = (attribute.get("value") or {}).get("stringValue")
        if name is None or text is None or name in texts:
            return "bad_proof"
        texts[name] = text
    if not {"signature", "algorithm", "timestamp", "key_id"} <= texts.keys():
        return "bad_proof"
    try:
        if texts["algorithm"] == "hmac-sha256":
            return mac_verdict(resource, scope, span, texts, public_keys, secrets)
        if texts["algorithm"] != "ed25519-merkle-v1":
            return "bad_proof"
        match = re.fullmatch(r"v1\.(0|[1-9][0-9]*)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?", texts["proof"])
        index, data, policy, path_text = int(match[1]), unb64(match[2]), unb64(match[3]), match[4] or ""
        statement = decode_batch(data)
        signature = unb64(texts["signature"])
        nodes = [unb64(path_text[at : at + 43]) for at in range(0, len(path_text), 43)]
        if any(len(node) != 32 for node in nodes):
            return "bad_proof"
    except (ValueError, KeyError, TypeError, IndexError):
        return "bad_proof"
    if (statement["key_id"], statement["time_unix_nano"]) != (texts["key_id"], texts["timestamp"]):
        return "bad_proof"
    if sha256(policy).hex() != statement["policy_id"]:
        return "bad_proof"
    try:
        decode_policy(policy)
    except (ValueError, KeyError, IndexError):
        return "bad_proof"
    if named_tenant(resource) not in ("", statement["tenant"]):
        return "bad_proof"
    if texts["key_id"] not in public_keys.get(statement["tenant"], {}):
        return "unknown_key"
    if not ed25519.verify(public_keys[statement["tenant"]][texts["key_id"]], signature, pae(STATEMENT_TYPE, data)):
        return "bad_proof"
    if index >= statement["leaf_count"]:
        return "bad_proof"
    leaf = leaf_hash(canonical(resource, scope, span, statement.get("coverage", DEFAULT_COVERAGE)))
    root = root_from_path(leaf, index, statement["leaf_count"], nodes)
    if root is None:
        return "bad_proof"
    return "valid" if root.hex() == statement["root"] else "tampered"


def nodes_of(text):
    nodes = [unb64(text[at : at + 43]) for at in range(0, len(text), 43)]
    if any(len(node) != 32 for node in nodes):
        raise ValueError("not nodes")
    return nodes


def compact_verdict(resource, scope, span, text, public_keys):
    try:
        match = re.fullmatch(r"v1\.([A-Za-z0-9_-]{22})\.(0|[1-9][0-9]*)(?:\.([A-Za-z0-9_-]+))?", text)
        sid, index, path = match[1], int(match[2]), nodes_of(match[3] or "")
        shared = [a for a in resource.get("attributes") or [] if a.get("key") == STATEMENT_PREFIX + sid]
        (attribute,) = shared
        parts = re.fullmatch(r"v1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?", attribute["value"]["stringValue"])
        data, signature, policy, row = unb64(parts[1]), unb64(parts[2]), unb64(parts[3]), nodes_of(parts[4] or "")
        unb64(sid)
        statement = decode_batch(data)
        decode_policy(policy)
    except (ValueError, KeyError, TypeError, IndexError):
        return "bad_proof"
    if b64(sha256(data)[:16]) != sid or sha256(policy).hex() != statement["policy_id"] or len(signature) != 64:
        return "bad_proof"
    count = statement["leaf_count"]
    heights = [h for h in range(root_height(count) + 1) if row_length(h, count) == (len(row) or 1)]
    if len(row) == 1 or len(row) > ROW_NODES_MAX or not heights:
        return "bad_proof"
    height = heights[0]
    if named_tenant(resource) not in ("", statement["tenant"]):
        return "bad_proof"
    if statement["key_id"] not in public_keys.get(statement["tenant"], {}):
        return "unknown_key"
    if not ed25519.verify(public_keys[statement["tenant"]][statement["key_id"]], signature, pae(STATEMENT_TYPE, data)):
        return "bad_proof"
    if row and root_of(row).hex() != statement["root"]:
        return "bad_proof"
    if index >= count:
        return "bad_proof"
    leaf = leaf_hash(canonical(resource, scope, span, statement.get("coverage", DEFAULT_COVERAGE)))
    node = node_from_path(leaf, index, count, height, path)
    if node is None:
        return "bad_proof"
    expected = row[index // 2**height] if row else bytes.fromhex(statement["root"])
    return "valid" if node == expected else "tampered"


def mac_verdict(resource, scope, span, texts, public_keys, secrets):
    timestamp = texts["timestamp"]
    if "proof" in texts or not re.fullmatch("0|[1-9][0-9]{0,19}", timestamp) or int(timestamp) >= 1 << 64:
        return "bad_proof"
    signature = unb64(texts["signature"])
    owner = next((tenant for tenant, ids in secrets.items() if texts["key_id"] in ids), None)
    if owner is None:
        return "unknown_key"
    if named_tenant(resource) not in ("", owner):
        return "bad_proof"
    secret, leaf = secrets[owner][texts["key_id"]], leaf_hash(canonical(resource, scope, span))
    mac = mac_of(secret, texts["key_id"], int(timestamp), owner, leaf)
    return "valid" if hmac.compare_digest(mac, signature) else "tampered"


def entries_of(request):
    for group in request.get("resourceSpans") or []:
        for scoped in group.get("scopeSpans") or []:
            for span in scoped.get("spans") or []:
                yield group.get("resource") or {}, scoped.get("scope") or {}, span


# Vectors


def sample_spans():
    full = {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "eee19b7ec3c1b173",
        "traceState": "vendor=1",
        "name": "GET /orders",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": "18446744073709551615",
        "flags": 257,
        "droppedAttributesCount": 3,
        "attributes": [
            string_attribute("compliance.control", "CC6.1"),
            {"key": "b", "value": {"intValue": "-9223372036854775808"}},
            {"key": "a", "value": {"intValue": "9223372036854775807"}},
            {"key": "ab", "value": {"boolValue": True}},
            {"key": "z", "value": {"bytesValue": "AAH/"}},
            {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {}, {"doubleValue": 1.5}]}}},
            {
                "key": "map",
                "value": {
                    "kvlistValue": {
                        "values": [
                            {"key": "y", "value": {"kvlistValue": {"values": [string_attribute("q", "2"), string_attribute("p", "1")]}}},
                            string_attribute("x", "é"),
                        ]
                    }
                },
            },
        ],
        "events": [
            {"timeUnixNano": "1544712660300000000", "name": "second", "attributes": [string_attribute("k", "v")]},
            {"timeUnixNano": "1544712660200000000", "name": "first", "droppedAttributesCount": 1},
        ],
        "links": [{"traceId": "00" * 16, "spanId": "0102030405060708", "traceState": "t", "flags": 1}],
        "status": {"code": 2, "message": "boom"},
    }
    doubles = [0, -0.0, 1e300, -2.5, "NaN", "Infinity", "-Infinity", 5e-324]
    yield "nothing set", {}, {}, {}
    yield "every field", {"attributes": [string_attribute("service.name", "shop"), string_attribute("host.name", "h")]}, {
        "name": "lib",
        "version": "1",
        "attributes": [string_attribute("not", "covered")],
    }, full
    yield "doubles", {}, {}, {"attributes": [{"key": f"d{i}", "value": {"doubleValue": d}} for i, d in enumerate(doubles)]}
    yield "empty values", {}, {}, {
        "attributes": [
            {"key": "none"},
            {"key": "nothing", "value": {}},
            {"key": "string", "value": {"stringValue": ""}},
            {"key": "bytes", "value": {"bytesValue": ""}},
            {"key": "array", "value": {"arrayValue": {}}},
            {"key": "kvlist", "value": {"kvlistValue": {}}},
            {"key": "zero", "value": {"intValue": "0"}},
            {"key": "false", "value": {"boolValue": False}},
            {"key": "", "value": {"stringValue": "no key"}},
        ]
    }
    yield "equal keys are ordered by value", {}, {}, {
        "attributes": [
            string_attribute("k", "b"),
            {"key": "k", "value": {"intValue": "1"}},
            string_attribute("k", "aa"),
            string_attribute("k", "b"),
            {"key": "k"},
            string_attribute("k", "a"),
        ]
    }
    yield "keys that are prefixes, and beyond ASCII", {}, {}, {
        "attributes": [string_attribute(key, "v") for key in ["http.url", "http", "http.", "httq", "é", "\u0001", "🦊"]]
    }
    yield "ids of zero bytes, an unknown kind and status", {}, {}, {
        "traceId": "00" * 16,
        "spanId": "00" * 8,
        "parentSpanId": "00" * 8,
        "kind": 99,
        "status": {"code": 77},
    }
    yield "attributes of a signature are not covered", {}, {}, {
        "attributes": [string_attribute("span.signature", "x"), string_attribute("span.signatures", "y"), string_attribute("span.sig", "z")]
    }
    yield "all covered resource attributes", {
        "attributes": [
            string_attribute(key, key)
            for key in ["betrace.tenant", "service.namespace", "service.name", "service.instance.id", "service.version", "betrace.key.k"]
        ]
    }, {}, {"name": "r"}


def boot_statement(policy_id):
    return {
        "kind": 2,
        "instance_id": "sidecar-1",
        "boot_id": "0192f0c1d2e37000a000000000000001",
        "tenant": "acme",
        "number": 0,
        "time_unix_nano": "1732345678901234567",
        "previous": "",
        "policy_id": policy_id,
        "key_id": "k1",
    }


def statement_vectors(key, policy_id):
    boot = boot_statement(policy_id)
    drafts = [
        boot,
        {**boot, "kind": 1, "number": 1, "leaf_count": 300, "root": "ab" * 32},
        {**boot, "kind": 1, "number": 2, "leaf_count": 1, "root": "cd" * 32, "coverage": {"resource_attributes": ["service.name"], "mutable": ["tmp.*"]}},
        {**boot, "kind": 5, "number": 3, "tombstone": {"boot_id": boot["boot_id"], "number": 1, "ranges": [[0, 5], [7, 1]], "reason": 2}},
        {**boot, "kind": 4, "number": 300, "tenant": "é🦊"},
        {**boot, "kind": 3, "number": 301},
    ]
    previous = ""
    for draft in drafts:
        statement = {**draft, "previous": previous}
        data = encode_statement(statement)
        previous = sha256(data).hex()
        yield {"statement": statement, "encoded": data.hex(), "hash": previous, "signature": key.sign(pae(STATEMENT_TYPE, data)).hex()}


def signed_vectors(key, secret, policy_id):
    resource = {"attributes": [string_attribute("service.name", "shop"), string_attribute("host.name", "h1")]}
    scope = {"name": "lib", "version": "1"}
    spans = [
        {"traceId": "11" * 16, "spanId": f"{i + 1:016x}", "name": f"s{i}", "attributes": [string_attribute("compliance.control", f"c{i}"), string_attribute("tmp.note", "n")]}
        for i in range(5)
    ]
    draft = {**boot_statement(policy_id), "kind": 1, "number": 1, "previous": "00" * 32}

    def vector(name, change=lambda spans: spans, more={}, resource=resource):
        signed = copy.deepcopy(spans)
        sign_batch(key, {**draft, **more}, [(resource, scope, each) for each in signed])
        signed = change(signed)
        request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": signed}]}]}
        return judged(name, request, key, secret)

    def of_tenant(*names):
        return {"attributes": resource["attributes"] + [string_attribute("betrace.tenant", name) for name in names]}

    def attribute(span, name):
        return next(a["value"] for a in span["attributes"] if a["key"] == name)

    def edit(index, action):
        def change(spans):
            action(spans[index])
            return spans

        return change

    def swap_proofs(spans):
        first, second = attribute(spans[0], "span.signature.proof"), attribute(spans[1], "span.signature.proof")
        first["stringValue"], second["stringValue"] = second["stringValue"], first["stringValue"]
        return spans

    yield vector("five spans, untouched")
    yield vector("in another order", lambda spans: spans[::-1])
    yield vector("attributes in another order", lambda spans: [{**s, "attributes": s["attributes"][::-1]} for s in spans])
    yield vector("a part of the batch", lambda spans: spans[2:3])
    yield vector("a name changed", edit(1, lambda s: s.update(name="other")))
    yield vector("an attribute removed", edit(2, lambda s: s["attributes"].pop(0)))
    yield vector("the signature removed", edit(3, lambda s: s.update(attributes=s["attributes"][:2])))
    yield vector("proofs swapped", swap_proofs)
    yield vector("algorithm changed", edit(0, lambda s: attribute(s, "span.signature.algorithm").update(stringValue="hmac-sha256")))
    yield vector("algorithm none", edit(0, lambda s: attribute(s, "span.signature.algorithm").update(stringValue="none")))
    yield vector("timestamp changed", edit(0, lambda s: attribute(s, "span.signature.timestamp").update(stringValue="1")))
    yield vector("key id changed", edit(0, lambda s: attribute(s, "span.signature.key_id").update(stringValue="k2")))
    yield vector("proof doubled", edit(0, lambda s: s["attributes"].append(s["attributes"][-1])))
    yield vector("path left out", edit(0, lambda s: attribute(s, "span.signature.proof").update(stringValue=attribute(s, "span.signature.proof")["stringValue"].rpartition(".")[0])))
    yield vector("key unknown", more={"key_id": "k9"})
    yield vector("a resource that names the tenant", resource=of_tenant("acme"))
    yield vector("a resource that names another tenant", resource=of_tenant("beta"))
    yield vector("the first name of a tenant counts", resource=of_tenant("acme", "beta"))
    yield vector("an empty name of a tenant is none", resource=of_tenant("", "beta"))
    yield vector("another tenant's key", more={"tenant": "beta"})
    mutable = {"coverage": {"resource_attributes": ["host.name"], "mutable": ["tmp.*"]}}
    yield vector("a mutable attribute changed", edit(0, lambda s: attribute(s, "tmp.note").update(stringValue="!")), mutable)
    yield vector("another attribute changed beside a mutable one", edit(0, lambda s: attribute(s, "compliance.control").update(stringValue="!")), mutable)
    yield mac_vector(key, secret, resource, scope, spans)


def compact_vectors(key, secret, policy_id):
    def plain(count, first=0):
        return [
            {"traceId": "22" * 16, "spanId": f"{first + i + 1:016x}", "name": f"s{first + i}", "attributes": [string_attribute("compliance.control", f"c{i}")]}
            for i in range(count)
        ]

    def groups_of(*counts):
        first, groups = 0, []
        for ordinal, count in enumerate(counts):
            resource = {"attributes": [string_attribute("service.name", f"shop-{ordinal}"), string_attribute("host.name", "h1")]}
            groups.append((resource, {"name": "lib"}, plain(count, first)))
            first += count
        return groups

    draft = {**boot_statement(policy_id), "kind": 1, "number": 1, "previous": "00" * 32}

    def vector(name, counts=(5, 3), change=lambda groups: None, more={}):
        groups = groups_of(*counts)
        sign_compact(key, {**draft, **more}, groups)
        change(groups)
        request = {"resourceSpans": [{"resource": r, "scopeSpans": [{"scope": s, "spans": spans}]} for r, s, spans in groups]}
        return judged(f"compact: {name}", request, key, secret)

    def shared(groups, ordinal=0):
        return groups[ordinal][0]["attributes"][-1]

    def on_span(edit, index=0):
        def change(groups):
            attribute = groups[0][2][index]["attributes"][-1]
            attribute["value"]["stringValue"] = edit(attribute["value"]["stringValue"])

        return change

    def on_statement(edit):
        def change(groups):
            attribute = shared(groups)
            attribute["value"]["stringValue"] = edit(attribute["value"]["stringValue"])

        return change

    def part(number, edit):
        def change(text):
            parts = text.split(".")
            parts[number] = edit(parts[number])
            return ".".join(parts)

        return change

    def other(text):
        return ("B" if text[0] == "A" else "A") + text[1:]

    yield vector("two resources, untouched")
    yield vector("one span alone", (1,))
    yield vector("forty spans, of which a row of 20", (40,))
    yield vector("a hundred resources' worth", (33, 1, 7))
    yield vector("resource attributes that are not covered come and go", change=lambda g: g[0][0]["attributes"].pop(1))
    yield vector("spans in another order", change=lambda g: g[0][2].reverse())
    yield vector("a part of the batch", change=lambda g: g[0][2].pop(1))
    yield vector("a name changed", change=lambda g: g[0][2][1].update(name="other"))
    yield vector("an attribute removed", change=lambda g: g[0][2][2]["attributes"].pop(0))
    yield vector("a covered resource attribute changed", change=lambda g: g[0][0]["attributes"][0]["value"].update(stringValue="other"))
    yield vector("the signature removed", change=lambda g: g[0][2][0]["attributes"].pop())
    yield vector("the statement removed", change=lambda g: g[0][0]["attributes"].pop())
    yield vector("the statement twice", change=lambda g: g[0][0]["attributes"].append(shared(g)))
    yield vector("the statement in bytes", change=lambda g: shared(g).update(value={"bytesValue": "AAAA"}))
    yield vector("the statement under the name of another", change=lambda g: shared(g).update(key=STATEMENT_PREFIX + "A" * 22))
    yield vector("another statement", change=on_statement(part(1, other)))
    yield vector("another signature", change=on_statement(part(2, other)))
    yield vector("a short signature", change=on_statement(part(2, lambda t: t[:-4])))
    yield vector("another policy", change=on_statement(part(3, lambda t: b64(encode_policy({**POLICY, "selection": 2})))))
    yield vector("a node of the row changed", change=on_statement(part(4, other)))
    yield vector("the row cut", change=on_statement(part(4, lambda t: t[:-43])))
    yield vector("the row left out", change=on_statement(lambda t: t.rpartition(".")[0]))
    yield vector("a row of one node", (1,), on_statement(lambda t: t + "." + "A" * 43))
    yield vector("a dot without a row", (1,), on_statement(lambda t: t + "."))
    yield vector("padding", change=on_statement(part(1, lambda t: t + "=")))
    yield vector("another version", change=on_statement(lambda t: "v2" + t[2:]))
    yield vector("another index", change=on_span(part(2, lambda t: "1")))
    yield vector("an index beyond", change=on_span(part(2, lambda t: "8")))
    yield vector("a leading zero", change=on_span(part(2, lambda t: "0" + t)))
    yield vector("a node of the path changed", change=on_span(part(3, other)))
    yield vector("a longer path", change=on_span(lambda t: t + "A" * 43))
    yield vector("a shorter path", change=on_span(lambda t: t.rpartition(".")[0]))
    yield vector("half a node", change=on_span(lambda t: t[:-1]))
    yield vector("a version of the span's", change=on_span(lambda t: "v2" + t[2:]))
    yield vector("an attribute of the other form beside", change=lambda g: g[0][2][0]["attributes"].append(string_attribute("span.signature.key_id", "k1")))
    yield vector("the reference twice", change=lambda g: g[0][2][0]["attributes"].append(g[0][2][0]["attributes"][-1]))
    yield vector("a span moved to the other resource", change=lambda g: g[1][2].append(g[0][2].pop(0)))
    yield vector("key unknown", more={"key_id": "k9"})
    yield vector("another tenant's key", more={"tenant": "beta"})
    yield vector("a resource that names the tenant", change=lambda g: None, more={"coverage": {"resource_attributes": [], "mutable": []}})
    yield vector(
        "a resource that names another tenant",
        change=lambda g: g[0][0]["attributes"].append(string_attribute("betrace.tenant", "beta")),
        more={"coverage": {"resource_attributes": [], "mutable": []}},
    )
    mutable = {"coverage": {"resource_attributes": ["host.name"], "mutable": ["compliance.*"]}}
    yield vector("a mutable attribute changed", change=lambda g: g[0][2][0]["attributes"][0]["value"].update(stringValue="!"), more=mutable)
    yield vector("a heartbeat is no batch", more={"kind": 3})


def mac_vector(key, secret, resource, scope, spans):
    signed = copy.deepcopy(spans[:3])
    for span in signed:
        mac = mac_of(secret, "s1", 1732345678901234567, "acme", leaf_hash(canonical(resource, scope, span)))
        span["attributes"] += [
            string_attribute("span.signature", b64(mac)),
            string_attribute("span.signature.algorithm", "hmac-sha256"),
            string_attribute("span.signature.timestamp", "1732345678901234567"),
            string_attribute("span.signature.key_id", "s1"),
        ]
    signed[1]["name"] = "other"
    signed[2]["attributes"][-1]["value"]["stringValue"] = "k1"
    other = {"attributes": resource["attributes"] + [string_attribute("betrace.tenant", "beta")]}
    groups = [(resource, signed), (other, signed[:1])]
    request = {"resourceSpans": [{"resource": r, "scopeSpans": [{"scope": scope, "spans": each}]} for r, each in groups]}
    return judged("hmac-sha256: untouched, changed, an Ed25519 key id, another tenant's resource", request, key, secret)


def judged(name, request, key, secret):
    public_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    found = [verdict(*entry, {"acme": {"k1": public_key}}, {"acme": {"s1": secret}}) for entry in entries_of(request)]
    return {"name": name, "request": request, "verdicts": found}


def make():
    seed, secret = bytes(range(32)), bytes(range(32, 64))
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    policies = [
        POLICY,
        {**POLICY, "selection": 3, "globs": ["app.*", "x"], "coverage": {"resource_attributes": ["betrace.tenant"], "mutable": ["tmp.*"]}},
        {**POLICY, "selection": 2, "algorithm": "hmac-sha256"},
    ]
    policy_id = sha256(encode_policy(POLICY)).hex()
    spans = []
    for name, resource, scope, span in sample_spans():
        form = canonical(resource, scope, span)
        request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [span]}]}]}
        spans.append({"name": name, "request": request, "canonical": form.hex(), "leaf": leaf_hash(form).hex()})
    trees = []
    for count in [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33]:
        leaves = [leaf_hash(u32(i)) for i in range(count)]
        paths = ["".join(node.hex() for node in path_of(i, leaves)) for i in range(count)]
        trees.append({"count": count, "root": root_of(leaves).hex(), "paths": paths})
    return {
        "made_by": "test/vectors/evidence.py",
        "keys": {"k1": {"seed": seed.hex(), "public_key": public_key.hex()}, "s1": {"secret": secret.hex()}},
        "spans": spans,
        "trees_over": "leaf i is SHA-256(0x00 then u32(i))",
        "trees": trees,
        "policies": [{"policy": p, "encoded": encode_policy(p).hex(), "id": sha256(encode_policy(p)).hex()} for p in policies],
        "statements": list(statement_vectors(key, policy_id)),
        "signed": [*signed_vectors(key, secret, policy_id), *compact_vectors(key, secret, policy_id)],
    }


def check(path):
    """The file: {"keys": {tenant: {id: public key in hex}}, "secrets": likewise, "cases": [{"name", "request", "verdicts"}]}."""
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    public_keys, secrets = (
        {tenant: {name: bytes.fromhex(key) for name, key in ids.items()} for tenant, ids in given[kind].items()}
        for kind in ("keys", "secrets")
    )
    failures = spans = 0
    for case in given["cases"]:
        found = [verdict(*entry, public_keys, secrets) for entry in entries_of(case["request"])]
        spans += len(found)
        if found != case["verdicts"]:
            failures += 1
            print(f"{case['name']}: expected {case['verdicts']}, found {found}")
    print(f"{len(given['cases'])} cases, {spans} spans, {failures} failures")
    return 1 if failures or not spans else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        json.dump(make(), sys.stdout, indent=1, ensure_ascii=True, allow_nan=False)
        print()
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        sys.exit(check(sys.argv[2]))
    else:
        sys.exit(__doc__)
