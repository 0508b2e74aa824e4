"""What the courier's place and the bridge's credentials allow: keys, KMS's replies, attestation documents."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from enclave_parent import Parent, RunningEnclave
from hostile import Accepted, Stage, Verdict, VictimJob
from hostile_parent import HostileParent, Refused
from question_factory import Keys, record
from registry import attack
from scripted_engine import ScriptedEngine

from devstack.cms import envelop
from devstack.root import DevelopmentRoot
from results_consumer.errors import Check
from wire import envelope, keys, ledger
from wire.codec import pack, unpack
from wire.envelope import parse_questions
from wire.header import QuestionHeader
from wire.manifest import Parameters, Retry, decode_manifest
from wire.messages import Answer, Unwrapped, UnwrapRefused, Work
from wire.payload import Message, Params, QuestionPayload, Record


def refused_by_enclave(
    stage: Stage, work: Work, *codes: str, bend: Callable[[HostileParent], None] = lambda _: None
) -> Verdict:
    """The enclave gives the work back with one of these codes."""
    with stage.parent() as parent:
        bend(parent)
        try:
            parent.answer(work)
        except Refused as error:
            if error.code not in codes:
                raise Accepted(f"refused with {error.code}") from None
            return Verdict("the enclave gave the chunk back unopened", f"refusal {error.code}")
    raise Accepted("the enclave answered")


def with_header(sealed: bytes, place: int, value: Any) -> bytes:
    """Sealed questions with one field of their header exchanged, by somebody without the key."""
    size = int.from_bytes(sealed[6:8], "big")
    header = unpack(sealed[8 : 8 + size], max_size=8192)
    assert isinstance(header, list)
    header[place] = value
    encoded = pack(header)
    return sealed[:6] + len(encoded).to_bytes(2, "big") + encoded + sealed[8 + size :]


TENANT, JOB, IMAGE, WRAPPED, COMMITMENT = 0, 1, 2, 7, 8
PCR0, PCR16 = "kms:RecipientAttestation:PCR0", "kms:RecipientAttestation:PCR16"


@attack("substitute the wrapped question key")
def other_question_key(stage: Stage) -> Verdict:
    """By that of another job of the same tenant, which KMS would unwrap for that job."""
    job, other = stage.submit(2), stage.submit(2)
    (work,), (foreign,) = job.works(), other.works()
    wrapped = parse_questions(foreign.sealed).header.wrapped
    bent = Work(0, 0, 2, with_header(work.sealed, WRAPPED, wrapped))
    return refused_by_enclave(stage, bent, "key_invalid")


@attack("substitute the wrapped answer key")
def other_answer_key(stage: Stage) -> Verdict:
    """In the manifest, by one of another job: the reader would open with it."""
    job, other = stage.answered(2), stage.answered(2)
    mine, foreign = (decode_manifest(stage.get(item.key("manifest"))).keysets[0] for item in (job, other))
    changed = stage.get(job.key("manifest")).replace(mine.answer_wrapped, foreign.answer_wrapped)
    stage.put(job.key("manifest"), changed)
    return stage.refused(job, Check.MANIFEST_DIGEST)


@attack("substitute both wrapped keys")
def both_keys(stage: Stage) -> Verdict:
    """The question key where the enclave looks, the answer key where the reader looks."""
    job, other = stage.submit(2), stage.submit(2)
    (work,), (foreign,) = job.works(), other.works()
    keysets = [decode_manifest(stage.get(item.key("manifest"))).keysets[0] for item in (job, other)]
    changed = stage.get(job.key("manifest"))
    for name in ("question_wrapped", "answer_wrapped"):
        changed = changed.replace(getattr(keysets[0], name), getattr(keysets[1], name))
    stage.put(job.key("manifest"), changed)
    wrapped = parse_questions(foreign.sealed).header.wrapped
    enclave = refused_by_enclave(stage, Work(0, 0, 2, with_header(work.sealed, WRAPPED, wrapped)), "key_invalid")
    reader = stage.refused(job, Check.MANIFEST_DIGEST)
    return Verdict("enclave and reader each refused", f"{enclave.caught}; {reader.caught}")


@attack("substitute the key commitment")
def other_commitment(stage: Stage) -> Verdict:
    """As for a ciphertext that opens under two keys."""
    (work,) = stage.submit(2).works()
    return refused_by_enclave(stage, Work(0, 0, 2, with_header(work.sealed, COMMITMENT, bytes(32))), "unseal_failed")


@attack("relabel a question as another tenant's")
def relabel_tenant(stage: Stage) -> Verdict:
    """KMS is then asked with another context than the key was made with."""
    (work,) = stage.submit(2).works()
    return refused_by_enclave(
        stage, Work(0, 0, 2, with_header(work.sealed, TENANT, "pensions")), "key_invalid", "key_denied"
    )


@attack("relabel a question as for another image")
def relabel_image(stage: Stage) -> Verdict:
    """An enclave opens only what demands its own image."""
    (work,) = stage.submit(2).works()
    return refused_by_enclave(stage, Work(0, 0, 2, with_header(work.sealed, IMAGE, "ab" * 48)), "wrong_image")


@attack("flip a bit of a sealed question")
def flip_question(stage: Stage) -> Verdict:
    """The enclave is to answer something else than was asked."""
    (work,) = stage.submit(2).works()
    bent = bytearray(work.sealed)
    bent[-40] ^= 1
    return refused_by_enclave(stage, Work(0, 0, 2, bytes(bent)), "unseal_failed")


@attack("ask for records that a chunk does not have")
def beyond(stage: Stage) -> Verdict:
    """A range that reaches beyond the chunk's own."""
    (work,) = stage.submit(2).works()
    return refused_by_enclave(stage, Work(0, 1, 2, work.sealed), "malformed")


# KMS


def denied(stage: Stage, kms: Any, operation: str, **request: Any) -> Verdict:
    """KMS refuses a call."""
    try:
        getattr(kms, operation)(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in {"AccessDeniedException", "ValidationException", "InvalidCiphertextException"}:
            raise Accepted(f"KMS answered {code}") from None
        stage.seen.append(str(error).encode())
        return Verdict("KMS gave no key", f"key policy: {code}" if "Access" in code else f"KMS: {code}")
    raise Accepted("KMS gave a key")


def decrypt(stage: Stage, job: VictimJob, document: bytes | None, kms: Any = None) -> Verdict:
    """Ask KMS for a job's question key with the bridge's credentials, and a document if there is one."""
    header = parse_questions(job.chunks()[0]).header
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}
    return denied(
        stage,
        kms or stage.bridge.kms,
        "decrypt",
        KeyId=header.key_arn,
        CiphertextBlob=header.wrapped,
        EncryptionContext=keys.encryption_context("question", header.tenant, header.job, header.image),
        **({} if document is None else {"Recipient": recipient}),
    )


def own_key() -> tuple[rsa.RSAPrivateKey, bytes]:
    """A key pair of the attacker's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@attack("ask KMS for the question key without attestation")
def unattested(stage: Stage) -> Verdict:
    """The bridge's own credentials."""
    return decrypt(stage, stage.submit(1), None)


@attack("ask KMS for the question key as the account's owner")
def as_owner(stage: Stage) -> Verdict:
    """Whoever holds the account's root user."""
    return decrypt(stage, stage.submit(1), None, stage.client("kms"))


@attack("ask KMS for the answer key")
def answer_key(stage: Stage) -> Verdict:
    """The bridge has no right on the answers key at all, attested or not."""
    job = stage.submit(1)
    keyset = decode_manifest(stage.get(job.key("manifest"))).keysets[0]
    context = keys.encryption_context("answer", job.tenant, job.ticket.job, keyset.image)
    request = {"KeyId": keyset.answer_key_arn, "CiphertextBlob": keyset.answer_wrapped, "EncryptionContext": context}
    document = stage.nsm().attest(public_key=own_key()[1], user_data=None, nonce=None)
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}
    denied(stage, stage.bridge.kms, "decrypt", **request)
    return denied(stage, stage.bridge.kms, "decrypt", **request, Recipient=recipient)


@attack("re-encrypt the question key under another key")
def reencrypt(stage: Stage) -> Verdict:
    """By whoever owns the account, to a key whose policy is theirs."""
    job, kms = stage.submit(1), stage.client("kms")
    header = parse_questions(job.chunks()[0]).header
    context = keys.encryption_context("question", header.tenant, header.job, header.image)
    other = kms.create_key()["KeyMetadata"]["Arn"]
    try:
        kms.re_encrypt(CiphertextBlob=header.wrapped, SourceEncryptionContext=context, DestinationKeyId=other)
    except ClientError as error:
        return Verdict("KMS moved no key", f"KMS: {error.response['Error']['Code']}")
    raise Accepted("KMS moved the key")


@attack("grant the question key's Decrypt to somebody")
def grant(stage: Stage) -> Verdict:
    """By whoever owns the account."""
    principal = "arn:aws:iam::123456789012:role/attacker"
    return denied(
        stage,
        stage.client("kms"),
        "create_grant",
        KeyId=stage.settings.question_key,
        GranteePrincipal=principal,
        Operations=["Decrypt"],
    )


@attack("attest another image and ask with that")
def other_image(stage: Stage) -> Verdict:
    """A real enclave of the attacker's, with a key of the attacker's."""
    document = stage.nsm(bytes(47) + b"\1").attest(public_key=own_key()[1], user_data=None, nonce=None)
    return decrypt(stage, stage.submit(1), document)


@contextmanager
def admitted(stage: Stage, registers: Mapping[str, str]) -> Iterator[None]:
    """The policy of the questions key admits an older release's registers too, as in the days of a rolling release."""
    kms, arn = stage.client("kms"), stage.settings.question_key
    policy = json.loads(kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    rolling, opens = json.loads(json.dumps(policy)), None
    for item in rolling["Statement"]:
        for name, old in registers.items():
            condition = item.get("Condition", {})
            if name in condition.get("StringNotEqualsIgnoreCase", {}):
                condition["StringNotEqualsIgnoreCase"][name] = [condition["StringNotEqualsIgnoreCase"][name], old]
        if item["Sid"].startswith("TheAttestedImage"):
            opens = json.loads(json.dumps(item).replace(stage.image, registers[PCR0])) | {"Sid": "OldRelease"}
            opens["Condition"]["StringEqualsIgnoreCase"].update(registers)
    kms.put_key_policy(
        KeyId=arn, PolicyName="default", Policy=json.dumps(rolling | {"Statement": [*rolling["Statement"], opens]})
    )
    try:
        yield
    finally:
        kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=json.dumps(policy))


@attack("run an older released image")
def older_image(stage: Stage) -> Verdict:
    """Still in the policy in the days of a rolling release; what was sealed for the new one stays shut."""
    job, old = stage.submit(1), "0b" * 48
    with admitted(stage, {PCR0: old}):
        document = stage.nsm(bytes.fromhex(old)).attest(public_key=own_key()[1], user_data=None, nonce=None)
        return decrypt(stage, job, document)


@attack("attest a debug enclave")
def debug_document(stage: Stage) -> Verdict:
    """Its PCR0 is all zeros."""
    document = stage.nsm(bytes(48)).attest(public_key=own_key()[1], user_data=None, nonce=None)
    return decrypt(stage, stage.submit(1), document)


@attack("use an expired attestation document")
def expired_document(stage: Stage) -> Verdict:
    """The right image, four hours ago."""
    earlier = stage.nsm(clock=lambda: datetime.now(UTC) - timedelta(hours=4))
    return decrypt(stage, stage.submit(1), earlier.attest(public_key=own_key()[1], user_data=None, nonce=None))


@attack("use an attestation document under another root")
def other_root(stage: Stage) -> Verdict:
    """The right image, said by a hypervisor of the attacker's."""
    made_up = stage.nsm(root=DevelopmentRoot.create())
    return decrypt(stage, stage.submit(1), made_up.attest(public_key=own_key()[1], user_data=None, nonce=None))


def true_document(stage: Stage, job: VictimJob) -> bytes:
    """A document that the enclave sent to have this job's key unwrapped."""
    with stage.parent() as parent:
        parent.answer(job.works()[0])
        return parent.unwraps[-1].document


@attack("put a key of the parent's into the enclave's document")
def exchanged_key(stage: Stage) -> Verdict:
    """A signature covers other bytes then."""
    job = stage.submit(1)
    structure = cbor2.loads(true_document(stage, job))
    payload = dict(cbor2.loads(structure[2])) | {"public_key": own_key()[1]}
    return decrypt(stage, job, cbor2.dumps([structure[0], {}, cbor2.dumps(payload), structure[3]]))


@attack("put the signature of one document under another")
def exchanged_signature(stage: Stage) -> Verdict:
    """Both are true ones of the same enclave."""
    job, other = stage.submit(1), stage.submit(1)
    one, two = (list(cbor2.loads(true_document(stage, item))) for item in (job, other))
    return decrypt(stage, job, cbor2.dumps([*one[:3], two[3]]))


@attack("ask KMS again with a document that was used")
def replayed_document(stage: Stage) -> Verdict:
    """KMS answers, as AWS does; what comes back opens for the enclave's key of then, which is gone."""
    job = stage.submit(1)
    with stage.parent() as parent:
        parent.answer(job.works()[0])
        again = parent.ask_kms(parent.unwraps[-1])
    if not isinstance(again, Unwrapped):
        raise Accepted("expected a reply")
    public = load_der_public_key(cbor2.loads(cbor2.loads(parent.unwraps[-1].document)[2])["public_key"])
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size != 2048:
        raise Accepted("the key is not the enclave's")
    return Verdict("a reply for a key pair that exists no more, in no hands but the enclave's", "one reply a key pair")


# Replies


@attack("forge KMS's reply with a key of the parent's choosing")
def forged_reply(stage: Stage) -> Verdict:
    """A true CMS message for the enclave's public key, which stands in the document."""
    (work,) = stage.submit(1).works()

    def bend(parent: HostileParent) -> None:
        def forge(reply: Unwrapped | UnwrapRefused) -> Unwrapped:
            public = load_der_public_key(cbor2.loads(cbor2.loads(parent.unwraps[-1].document)[2])["public_key"])
            assert isinstance(public, rsa.RSAPublicKey)
            return Unwrapped(reply.request, envelop(bytes(32), public))

        parent.on_reply = forge  # type: ignore[assignment]

    return refused_by_enclave(stage, work, "unseal_failed", bend=bend)


@attack("forge KMS's reply and the question together")
def forged_question(stage: Stage) -> Verdict:
    """The parent chooses the question key, seals a question of its own in the victim's name, and has it answered."""
    job = stage.submit(1)
    (work,) = job.works()
    header, key = parse_questions(work.sealed).header, os.urandom(32)
    keyset = decode_manifest(stage.get(job.key("manifest"))).keysets[0]
    context = keys.encryption_context("answer", header.tenant, header.job, header.image)
    record = Record(0, 1, "x", (Message("user", "Say yes."),), Params(max_tokens=2))
    digest = keys.wrapped_digest(keyset.answer_key_arn, context, keyset.answer_wrapped)
    payload = QuestionPayload(os.urandom(32), keyset.answer_key_arn, digest, bytes(32), (record,)).encode()
    sealed = envelope.seal(replace(header, chunk=0, first=0, count=1), key, payload)
    with stage.parent() as parent:

        def forge(reply: Unwrapped | UnwrapRefused) -> Unwrapped:
            public = load_der_public_key(cbor2.loads(cbor2.loads(parent.unwraps[-1].document)[2])["public_key"])
            assert isinstance(public, rsa.RSAPublicKey)
            return Unwrapped(reply.request, envelop(key, public))

        parent.on_reply = forge  # type: ignore[assignment]
        stage.store(work, parent.answer(Work(0, 0, 1, sealed)))
    return stage.refused(job, Check.QUESTION_DIGEST)


@attack("guess a question and time its answer")
def guess(stage: Stage) -> Verdict:
    """The parent seals the guess in the victim's name under a key of its own, and forges KMS's reply for it."""
    victim = Keys()
    parents_own = Keys(job=victim.job)
    engine = ScriptedEngine()
    with tempfile.TemporaryDirectory() as folder, RunningEnclave(Path(folder), engine) as enclave:
        for keyset in (victim, victim, parents_own):
            parent = Parent(enclave, keyset)
            parent.work(1, keyset, [record(0, "How many days?")])
            parent.take(Answer)
            parent.close()
    computed = sum(map(len, engine.batches))
    if computed != 2:
        raise Accepted(f"{computed} of three sequences were computed: the victim's once, and the guess")
    return Verdict("the guess took the time of a question that nobody has asked", "work is shared under one key only")


@attack("poison the enclave's cache with a forged key")
def poisoned_cache(stage: Stage) -> Verdict:
    """After the forgery above, the victim's own chunk is to open under the attacker's key, or never more."""
    job = stage.submit(1)
    (work,) = job.works()
    header, key = parse_questions(work.sealed).header, os.urandom(32)
    record = Record(0, 1, "x", (Message("user", "Say yes."),), Params(max_tokens=2))
    payload = QuestionPayload(os.urandom(32), header.key_arn, bytes(32), bytes(32), (record,)).encode()
    sealed = envelope.seal(replace(header, chunk=0, first=0, count=1), key, payload)
    with stage.parent() as parent:

        def forge(reply: Unwrapped | UnwrapRefused) -> Unwrapped:
            public = load_der_public_key(cbor2.loads(cbor2.loads(parent.unwraps[-1].document)[2])["public_key"])
            assert isinstance(public, rsa.RSAPublicKey)
            return Unwrapped(reply.request, envelop(key, public))

        parent.on_reply = forge  # type: ignore[assignment]
        parent.answer(Work(0, 0, 1, sealed))
    return refused_by_enclave(stage, work, "unseal_failed")


@attack("replay KMS's reply to an earlier unwrap")
def replayed_reply(stage: Stage) -> Verdict:
    """It was made for another key pair."""
    one, two = stage.submit(1), stage.submit(1)
    with stage.parent() as parent:
        parent.answer(one.works()[0])
        old = parent.replies[-1]
    assert isinstance(old, Unwrapped)

    def bend(parent: HostileParent) -> None:
        parent.on_reply = lambda reply: Unwrapped(reply.request, old.ciphertext)

    return refused_by_enclave(stage, two.works()[0], "unseal_failed", bend=bend)


@attack("answer an unwrap that nobody asked for")
def unasked(stage: Stage) -> Verdict:
    """Guessed numbers of requests, before and after."""
    job = stage.submit(1)
    with stage.parent() as parent:
        for request in range(50):
            parent.send(Unwrapped(request, b"x" * 493))
        stage.store(job.works()[0], parent.answer(job.works()[0]))
    job.honest = stage.fetch(job).answers
    return stage.no_effect(job, "one reply a request")


# Other producers


@attack("invent a whole job for another tenant")
def invented_job(stage: Stage) -> Verdict:
    """The parent asks KMS for keys in a tenant's name."""
    context = keys.encryption_context("question", "pensions", "a" * 16, stage.image)
    request = {"KeyId": stage.settings.question_key, "KeySpec": "AES_256", "EncryptionContext": context}
    denied(stage, stage.bridge.kms, "generate_data_key", **request)
    return denied(stage, stage.producer.kms, "generate_data_key", **request)


@attack("collude with another tenant's producer")
def other_producer(stage: Stage) -> Verdict:
    """A role that is tagged for another tenant, on a key that both share, mints keys in this job's name."""
    job, iam, kms = stage.submit(1), stage.client("iam"), stage.client("kms")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    tag = {"Key": "tenant", "Value": "pensions"}
    role = iam.create_role(RoleName="pensions-producer", AssumeRolePolicyDocument=trust, Tags=[tag])["Role"]["Arn"]
    arn = stage.settings.question_key
    policy = kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    shared = json.loads(policy)
    for item in shared["Statement"]:
        if item["Sid"].startswith("ProducersMake"):
            item["Principal"]["AWS"] = [item["Principal"]["AWS"], role]
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=json.dumps(shared))
    try:
        session = stage.client("sts").assume_role(RoleArn=role, RoleSessionName="pensions")["Credentials"]
        colluder = stage._session.client(
            "kms",
            endpoint_url=stage.stack.endpoint,
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
        )
        own = keys.encryption_context("question", "pensions", job.ticket.job, stage.image)
        colluder.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=own)  # its own tenant is its right
        victim = keys.encryption_context("question", job.tenant, job.ticket.job, stage.image)
        return denied(stage, colluder, "generate_data_key", KeyId=arn, KeySpec="AES_256", EncryptionContext=victim)
    finally:
        kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=policy)
        iam.delete_role(RoleName="pensions-producer")


def minted(stage: Stage, job: VictimJob) -> tuple[bytes, bytes, bytes, bytes]:
    """A keyset in this job's name, by a producer of the same tenant: question key and answer key, plain and wrapped."""
    found = []
    for purpose, arn in (("question", stage.settings.question_key), ("answer", stage.settings.answer_key)):
        context = keys.encryption_context(purpose, job.tenant, job.ticket.job, stage.image)  # type: ignore[arg-type]
        reply = stage.producer.kms.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=context)
        found += [reply["Plaintext"], reply["CiphertextBlob"]]
    return found[0], found[1], found[2], found[3]


@attack("link a retry of other questions to a job")
def foreign_retry(stage: Stage) -> Verdict:
    """A colluding producer of the very tenant repeats, with its own questions, what the parent made fail."""
    job = stage.answered(2)
    stage.remove(job.answers()[0])
    note = ledger.encode_note(ledger.Failure("enclave_lost", 1))
    stage.put(ledger.failure_key(job.tenant, job.ticket.job, 0, 0, 2), note)
    retry = stage.submit(2, parameters=Parameters(retry=Retry(job.ticket.job, job.ticket.digest, ((0, 2),))))
    with stage.parent() as parent:
        for work in retry.works():
            stage.store(work, parent.answer(work))
    verdict = stage.unattested(job, 2)
    (link,) = stage.keys(job.key("retries/"))
    stage.put(ledger.retry_key(job.tenant, job.ticket.job, str(retry.ticket), bytes(32)), b"")
    stage.remove(link)
    stage.unattested(job, 2)
    return Verdict(verdict.happened, "a retry is linked under the job's answer key")


@attack("mint keys in this job's name and have other questions answered")
def minted_questions(stage: Stage) -> Verdict:
    """A colluding producer of the very tenant seals its own questions as this job's chunk."""
    job = stage.submit(1)
    question, wrapped, answer, answer_wrapped = minted(stage, job)
    context = keys.encryption_context("answer", job.tenant, job.ticket.job, stage.image)
    digest = keys.wrapped_digest(stage.settings.answer_key, context, answer_wrapped)
    record = Record(0, 1, "x", (Message("user", "Say yes."),), Params(max_tokens=2))
    payload = QuestionPayload(answer, stage.settings.answer_key, digest, bytes(32), (record,)).encode()
    header = QuestionHeader(
        tenant=job.tenant,
        job=job.ticket.job,
        image=stage.image,
        chunk=0,
        first=0,
        count=1,
        key_arn=stage.settings.question_key,
        wrapped=wrapped,
    )
    sealed = envelope.seal(header, question, payload)
    work = Work(0, 0, 1, sealed)
    with stage.parent() as parent:
        stage.store(work, parent.answer(work))
    return stage.refused(job, Check.WRAPPED_DIGEST)
