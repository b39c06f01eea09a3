"""Strict Ed25519 as proto/evidence.md §4 asks for it, from the page's rules and RFC 8032 alone.

    ed25519.py make > ed25519.json    makes the vectors
    ed25519.py check ed25519.json     judges them again

`verify` is what the other second implementations use. It needs the `cryptography` package for the equation; the rules
that decide what may come before it are here.
"""

import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


# Points, affine: slow, and easy to compare with the page.


def recover_x(y):
    """The even x of a point with this y; None where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * SQRT_OF_MINUS_1 % P
    if (x * x - square) % P != 0:
        return None
    return P - x if x % 2 == 1 else x


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


ZERO = (0, 1)
BASE_Y = 4 * pow(5, -1, P) % P
BASE = (recover_x(BASE_Y), BASE_Y)


def times(number, point):
    total = ZERO
    while number > 0:
        if number & 1:
            total = add(total, point)
        point = add(point, point)
        number >>= 1
    return total


def encode(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


# The rules


def is_sound_point(data):
    """Canonical, and not of small order."""
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if len(data) != 32 or y >= P:
        return False
    x = recover_x(y)
    if x is None or (x == 0 and sign == 1):
        return False
    return times(8, (x, y)) != ZERO


def verify(public, signature, message):
    if len(signature) != 64 or not is_sound_point(public) or not is_sound_point(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= L:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


# Vectors. Each lie is one that satisfies the equation, where that can be had, so that nothing but the rule refuses it.


def challenge(r, public, message):
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L


def secret(name):
    return int.from_bytes(hashlib.sha512(name.encode()).digest(), "little") % L


def sign_with(a, public, message, r, nonce):
    s = (nonce + challenge(r, public, message) * a) % L
    return r + s.to_bytes(32, "little")


def signed(a, public, message, nonce=None):
    nonce = secret("nonce " + message.hex()) if nonce is None else nonce
    return sign_with(a, public, message, encode(times(nonce, BASE)), nonce)


def torsion():
    """The eight points of small order, the neutral one first."""
    y = 2
    while True:
        x = recover_x(y)
        point = x is not None and times(L, (x, y))
        if point and times(4, point) != ZERO:
            return [times(i, point) for i in range(8)]
        y += 1


def spellings(point):
    """Every encoding that a lax decoder takes for a point."""
    x, y = point
    for each in (y, y + P):
        for sign in (0, 1) if x == 0 else (x & 1,):
            if each < 2**255:
                yield (each | sign << 255).to_bytes(32, "little")


def holds(public_point, r_point, s, k):
    return times(s, BASE) == add(r_point, times(k, public_point))


def small_order_key(name, public, point):
    """A signature under a key of small order: any message for which the key's part of the equation vanishes."""
    for number in range(64):
        message = b"%d" % number
        nonce = secret(name)
        r = encode(times(nonce, BASE))
        if holds(point, times(nonce, BASE), nonce, challenge(r, public, message)):
            return message, r + nonce.to_bytes(32, "little")
    raise ValueError("none found")


def mixed_key(name, a, twist, torsion_points):
    """A key with a part of small order, and signatures of both kinds."""
    public_point = add(times(a, BASE), torsion_points[twist])
    public = encode(public_point)
    with_cofactor = without = None
    for number in range(64):
        message = b"%s %d" % (name.encode(), number)
        signature = signed(a, public, message)
        r_point = times(secret("nonce " + message.hex()), BASE)
        s = int.from_bytes(signature[32:], "little")
        if holds(public_point, r_point, s, challenge(signature[:32], public, message)):
            without = without or (message, signature)
        else:
            with_cofactor = with_cofactor or (message, signature)
    return public, with_cofactor, without


def make():
    a = secret("key")
    public = encode(times(a, BASE))
    message = b"message"
    good = signed(a, public, message)
    s = int.from_bytes(good[32:], "little")
    cases = []

    def case(name, public, message, signature):
        is_valid = verify(public, signature, message)
        cases.append({"name": name, "publicKey": public.hex(), "message": message.hex(), "signature": signature.hex(), "valid": is_valid})

    case("sound", public, message, good)
    case("sound, an empty message", public, b"", signed(a, public, b""))
    case("another message", public, b"massage", good)
    case("S is S + L", public, message, good[:32] + (s + L).to_bytes(32, "little"))
    case("S is L", public, message, good[:32] + L.to_bytes(32, "little"))
    case("S has its highest bits set", public, message, good[:32] + (s | 0xE0 << 248).to_bytes(32, "little"))
    case("one byte short", public, message, good[:63])
    case("one byte long", public, message, good + b"\0")
    case("no signature", public, message, b"")

    points = torsion()
    for order, point in enumerate(points):
        for spelling, data in enumerate(spellings(point)):
            text, signature = small_order_key("small %d" % order, data, point)
            case("A of small order, %d in spelling %d" % (order, spelling), data, text, signature)
    for spelling, data in enumerate(spellings(ZERO)):
        k = challenge(data, public, message)
        case("R is the neutral point in spelling %d" % spelling, public, message, data + (k * a % L).to_bytes(32, "little"))
    for order, point in enumerate(points[1:], 1):
        data = encode(point)
        case("R of small order, %d" % order, public, message, data + (challenge(data, public, message) * a % L).to_bytes(32, "little"))

    for y in range(2, 19):
        x = recover_x(y)
        if x is not None:
            data = (y + P).to_bytes(32, "little")
            case("A is not canonical, y = p + %d" % y, data, message, signed(a, data, message))
            case("R is not canonical, y = p + %d" % y, public, message, data + good[32:])
    case("A is on no point of the curve", (2).to_bytes(32, "little") if recover_x(2) is None else (7).to_bytes(32, "little"), message, good)
    case("R is on no point of the curve", public, message, ((2) if recover_x(2) is None else 7).to_bytes(32, "little") + good[32:])

    twisted, with_cofactor, without = mixed_key("mixed", a, 1, points)
    case("A has a part of small order, and the equation holds", twisted, *without)
    case("A has a part of small order, and the equation holds with a cofactor only", twisted, *with_cofactor)
    nonce = secret("mixed R")
    r = encode(add(times(nonce, BASE), points[1]))
    case("R has a part of small order: the equation holds with a cofactor only", public, message, sign_with(a, public, message, r, nonce))
    return {"made_by": "test/vectors/ed25519.py", "cases": cases}


def check(document):
    wrong = []
    for case in document["cases"]:
        data = [bytes.fromhex(case[name]) for name in ("publicKey", "signature", "message")]
        if verify(*data) != case["valid"]:
            wrong.append(case["name"])
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
