"""Verifies the receipts of a job by docs/wire.md alone: it shares no code with Sealbatch.

python independent_verifier.py OUT.jsonl DIR/JOB root.pem PCR0
"""
import collections, hashlib, hmac, json, pathlib, sys
from datetime import UTC, datetime

import cbor2, msgpack
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_public_key

sha = lambda data: hashlib.sha256(data).digest()

def open_cose(data, key_of):
    """The payload of a COSE_Sign1 whose ES384 signature is of the key that `key_of` gives for it."""
    protected, header, payload, signature = cbor2.loads(data)
    assert cbor2.loads(protected) == {1: -35}
    der = utils.encode_dss_signature(*(int.from_bytes(signature[i:i + 48], "big") for i in (0, 48)))
    key_of(header, payload).verify(der, cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(SHA384()))
    return cbor2.loads(payload)

def check_document(data, root):
    """The attestation document, signed below `root` by certificates that were valid at its time."""
    leaf = lambda _, payload: x509.load_der_x509_certificate(cbor2.loads(payload)["certificate"]).public_key()
    said = open_cose(data, leaf)
    at = datetime.fromtimestamp(said["timestamp"] / 1000, UTC)
    chain = [root, *(x509.load_der_x509_certificate(der) for der in [*said["cabundle"][1:], said["certificate"]])]
    for issuer, certificate in zip(chain, chain[1:]):
        certificate.verify_directly_issued_by(issuer)
        assert issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert all(c.not_valid_before_utc <= at <= c.not_valid_after_utc for c in chain)
    return said

def merkle(leaves):
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return sha(b"\0" + leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + merkle(leaves[:half]) + merkle(leaves[half:]))

def commitment(salt, line):
    """The salted commitment to a line of output with an answer."""
    number, body = int(line["id"].rsplit("_", 1)[1]), line["response"]["body"]
    choice, usage = body["choices"][0], body["usage"]
    values = [number, line["line"], line["custom_id"], line["outcome"], choice["message"]["content"],
              choice["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"], None, ""]
    key = HKDF(SHA256(), 32, None, b"sealbatch/1 leaf" + msgpack.packb([number])).derive(salt)
    return hmac.digest(key, b"result" + msgpack.packb(values), "sha256")

out, folder, root, pcr0 = sys.argv[1:]
root, folder = x509.load_pem_x509_certificate(pathlib.Path(root).read_bytes()), pathlib.Path(folder)
lines = collections.defaultdict(list)
for line in map(json.loads, open(out)):
    lines[line["receipt"]].append(line)
for path in sorted(folder.glob("receipts/*.cose")):
    data, sealed = path.read_bytes(), (folder / "answers" / path.stem).read_bytes()
    document = cbor2.loads(data)[1]["attestation document"]
    attested = check_document(document, root)
    assert attested["pcrs"][0].hex() == pcr0 != "0" * 96, "another image"
    receipt = open_cose(data, lambda *_: load_der_public_key(attested["public_key"]))
    label, *digests = cbor2.loads(attested["user_data"])
    assert label == "sealbatch/1 receipt key" and digests == [receipt[n] for n in ("model", "template", "settings")]
    assert receipt["document"] == sha(document) and receipt["time_ms"] == attested["timestamp"]
    body = 8 + int.from_bytes(sealed[6:8], "big") + 12
    assert receipt["answers"] == sha(sealed[:body + 4 + int.from_bytes(sealed[body:body + 4], "big")])
    salt = bytes.fromhex(json.loads((folder / "openings" / f"{path.stem}.json").read_text())["salt"])
    leaves = [commitment(salt, line) for line in lines.pop(hashlib.sha256(data).hexdigest())]
    assert len(leaves) == receipt["count"] and merkle(leaves) == receipt["result_root"], "answers were changed"
assert not lines, "answers without a receipt"
print("verified")
