"""Verifies an output and its receipts by docs/reference/wire.md alone, retries included: it shares no code with Sealbatch.

python independent_verifier.py OUT.jsonl DIR/JOB root.pem PCR0
"""
import hashlib, hmac, json, pathlib, sys
from datetime import UTC, datetime

import cbor2, msgpack
from cryptography import x509
from cryptography.x509 import load_der_x509_certificate as load_certificate
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_public_key

sha = lambda data: hashlib.sha256(data).digest()

def open_cose(data, key_of):  # the payload, if the key that `key_of` finds signed it
    protected, header, payload, signature = cbor2.loads(data)
    assert cbor2.loads(protected) == {1: -35}
    der = utils.encode_dss_signature(*(int.from_bytes(signature[i:i + 48], "big") for i in (0, 48)))
    key_of(header, payload).verify(der, cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(SHA384()))
    return cbor2.loads(payload)

def check_document(data):  # signed below the root by certificates that were valid at its time
    said = open_cose(data, lambda _, body: load_certificate(cbor2.loads(body)["certificate"]).public_key())
    at = datetime.fromtimestamp(said["timestamp"] / 1000, UTC)
    chain = [ROOT, *(load_certificate(der) for der in [*said["cabundle"][1:], said["certificate"]])]
    for issuer, certificate in zip(chain, chain[1:]):
        certificate.verify_directly_issued_by(issuer)
        assert issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert all(c.not_valid_before_utc <= at <= c.not_valid_after_utc for c in chain)
    assert said["pcrs"][0].hex() == PCR0 != "0" * 96, "another image"
    return said

def merkle(leaves):  # RFC 6962, section 2.1
    half = 1 << (len(leaves) - 1).bit_length() - 1 if leaves[1:] else 0
    return sha(b"\1" + merkle(leaves[:half]) + merkle(leaves[half:])) if half else sha(b"\0" + leaves[0])

def commitments(salt, number, line):  # to a line, with what its error says and without
    body, error, said = (line["response"] or {}).get("body"), line["error"] or {}, ["", "", 0, 0]
    if body:
        (choice,), usage = body["choices"], body["usage"]
        said = [choice["message"]["content"], choice["finish_reason"], *map(usage.get, ("prompt_tokens", "completion_tokens"))]
    said, code = [line["outcome"], *said], error.get("code") if line["outcome"] == "errored" else None
    key = HKDF(SHA256(), 32, None, b"sealbatch/1 leaf" + msgpack.packb([number])).derive(salt)
    for detail in ("", error.get("message", "")):
        values = msgpack.packb([number, line["line"], line["custom_id"], *said, code, detail])
        yield hmac.digest(key, b"result" + values, "sha256")

def check_receipt(path, job):  # its digest; the first record, salt and commitments that it is about
    data, sealed = path.read_bytes(), (job / "answers" / path.stem).read_bytes()
    attested = check_document(document := cbor2.loads(data)[1]["attestation document"])
    receipt = open_cose(data, lambda *_: load_der_public_key(attested["public_key"]))
    stated = ["sealbatch/1 receipt key", *(receipt[name] for name in ("model", "template", "settings"))]
    assert cbor2.loads(attested["user_data"]) == stated and receipt["document"] == sha(document)
    end = 8 + int.from_bytes(sealed[6:8], "big") + 12
    assert receipt["answers"] == sha(sealed[:end + 4 + int.from_bytes(sealed[end:end + 4], "big")])
    opening = json.loads((job / "openings" / f"{path.stem}.json").read_text())
    signed = [bytes.fromhex(text) for text in opening["results"]]
    place = receipt["job"], receipt["count"], receipt["result_root"], receipt["time_ms"]
    assert place == (job.name, len(signed), merkle(signed), attested["timestamp"]), "not what was signed"
    return hashlib.sha256(data).hexdigest(), (receipt["first"], bytes.fromhex(opening["salt"]), signed)

out, folder, ROOT, PCR0 = sys.argv[1:]
ROOT, folder = x509.load_pem_x509_certificate(pathlib.Path(ROOT).read_bytes()), pathlib.Path(folder)
lines = [(int(line["id"].rsplit("_", 1)[1]), line) for line in map(json.loads, open(out))]
proven = set()
for job in [folder, *(folder.parent / name for name in json.loads((folder / "retries.json").read_text()))]:
    *_, records, _, _, _, _, parameters = msgpack.unpackb((job / "manifest").read_bytes()[9:-32])
    retry = parameters[3] or (folder.name, b"", [[0, records]])
    asked = [number for first, count in retry[2] for number in range(first, first + count)]
    assert retry[0] == folder.name and (job != folder or sorted(n for n, _ in lines) == asked), "records are missing"
    receipts = dict(check_receipt(path, job) for path in job.glob("receipts/*.cose"))
    for number, line in lines:
        if line["receipt"] in receipts:
            (first, salt, signed), own = receipts[line["receipt"]], asked.index(number)
            assert signed[own - first] in commitments(salt, own, line), "answers were changed"
            proven.add(number)
silent = [line for number, line in lines if number not in proven]
assert not any(line["attested"] or line["response"] for line in silent), "answers without a receipt"
print("verified" + (f", but for {len(silent)} outcomes in the host's word" if silent else ""))
