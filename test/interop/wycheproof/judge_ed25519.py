"""The second implementation's word on Wycheproof's Ed25519 vectors: numbers of the accepted cases, as a JSON list."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "../../vectors"))
import ed25519  # noqa: E402

groups = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["testGroups"]
accepted = [
    case["tcId"]
    for group in groups
    for case in group["tests"]
    if ed25519.verify(
        bytes.fromhex(group["publicKey"]["pk"]), bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
    )
]
print(json.dumps(accepted))
