"""The pictures of the documents, made by `make docs-reference` with the pages of the reference."""

from typing import Final

from drawing import Drawing, Place

ROOMS: Final[tuple[tuple[str, Place, str, str], ...]] = (
    ("room", (20, 16, 1020, 58), "sealbatch/", "the command, the Python API and the nights: thin, above the programs"),
    ("clear", (20, 112, 220, 160), "producer/", "checks the file, cuts it\ninto chunks, seals each\n\nholds questions"),
    ("clear", (20, 348, 220, 160), "results_consumer/", "verifies everything, then\nopens and writes\n\nholds answers"),
    ("key", (300, 112, 210, 92), "KMS", "two keys; opens one for\nthe attested image alone"),
    ("room", (300, 252, 210, 74), "SQS", "what waits for an answer"),
    ("room", (300, 374, 210, 134), "S3", "sealed questions\nsealed answers\nmanifest, receipts"),
    (
        "room",
        (590, 112, 190, 396),
        "vsock_bridge/",
        "carries, opens nothing\n\n\nsees ciphertext, sizes\nin classes, and times",
    ),
    (
        "clear",
        (840, 112, 200, 396),
        "enclave_worker/",
        "no network, no disk\n\nopens, answers,\nseals, signs\n\nholds both, in memory",
    ),
    ("room", (20, 528, 1020, 44), "wire/", ""),
    ("area", (20, 584, 1020, 44), "devstack/", ""),
)
LABELS: Final = (
    (30, 102, "the office that asks"),
    (310, 102, "AWS"),
    (600, 102, "EC2 instance: the host"),
    (838, 102, "inside it: the enclave"),
    (602, 492, "dashed: carried only"),
    (130, 552, "what both sides of a boundary must agree on: frames, messages, sealing, manifest, receipts"),
    (146, 608, "stands in for AWS and Nitro on a laptop: real cryptography under another root"),
)


def architecture() -> str:
    """Folders as rooms, and one question's way through them."""
    picture = Drawing(
        1060,
        644,
        "The folders of Sealbatch as rooms, and one question's way through them",
        "The producer seals under KMS and puts chunks into S3 and SQS. The bridge receives them and hands them to the "
        "enclave over vsock; the enclave has its key unwrapped through the bridge, answers, seals and signs. The "
        "consumer fetches from S3, verifies and opens. wire is what all agree on, sealbatch the face, devstack what "
        "stands in for AWS and Nitro on a laptop.",
    )
    for room in ROOMS:
        picture.box(*room)
    for x, y, words in LABELS:
        picture.text((x, y), words, "soft")
    picture.arrow((240, 136), (300, 136), step="1", at=(270, 136))
    picture.arrow((130, 272), (130, 322), (250, 322), (250, 400), (300, 400), step="2", at=(130, 300))
    picture.arrow((240, 216), (264, 216), (264, 286), (300, 286), step="3", at=(264, 251))
    picture.arrow((510, 289), (590, 289), step="4", at=(550, 289))
    picture.arrow((780, 289), (840, 289), step="5", at=(810, 289))
    picture.arrow((840, 182), (510, 182), step="6", at=(810, 182), carried=True)
    picture.step((1020, 186), "7")
    picture.arrow((840, 440), (510, 440), step="8", at=(810, 440), carried=True)
    picture.arrow((300, 474), (240, 474), step="9", at=(270, 474))
    picture.arrow((130, 348), (130, 335), (281, 335), (281, 180), (300, 180), step="10", at=(281, 222))
    return picture.svg()


HOLDERS: Final[tuple[tuple[str, Place, str, str], ...]] = (
    ("key", (270, 20, 240, 92), "questions key", "in KMS; opens for the\nattested image and model"),
    ("key", (560, 20, 240, 92), "answers key", "in KMS; opens for readers\nof this tenant"),
    ("clear", (20, 170, 200, 100), "asker", "makes a question key\nand an answer key"),
    ("room", (290, 170, 200, 100), "host", "has no key;\ncarries what it is given"),
    ("clear", (560, 170, 220, 100), "enclave", "gets the question key,\nfinds the answer key inside"),
    ("clear", (850, 170, 190, 100), "reader", "opens the answer key,\nthen the answers"),
    ("area", (20, 328, 500, 160), "sealed questions", ""),
    ("clear", (34, 388, 220, 84), "records", "custom_id, question,\nparameters"),
    ("key", (274, 388, 230, 84), "answer key", "made by the asker, so that no\nreply of the host's can be it"),
    ("area", (560, 328, 480, 160), "sealed answers", ""),
    ("clear", (574, 388, 210, 84), "results", "custom_id, outcome,\nanswer"),
    ("clear", (804, 388, 222, 84), "receipt", "signed by the attested\nenclave"),
)
RIGHTS: Final = (
    (92, 42, "GenerateDataKey"),
    (152, 133, "GenerateDataKey"),
    (402, 165, "Decrypt, with attestation"),
    (956, 60, "Decrypt"),
    (20, 316, "What is carried; a dashed line goes through the host, which opens nothing of it"),
    (32, 372, "under the question key; who opens this has both"),
    (572, 372, "under the answer key; the host has no right on it"),
)


def keys() -> str:
    """Who holds which key, and what lies in what."""
    picture = Drawing(
        1060,
        508,
        "Who holds which key",
        "The asker makes a question key under the questions KMS key and an answer key under the answers KMS key. The "
        "attested enclave alone can open the question key, through the host, which can open neither. The answer key "
        "travels inside the sealed questions. The reader opens the answer key by the answers KMS key.",
    )
    for box in HOLDERS:
        picture.box(*box)
    for x, y, words in RIGHTS:
        picture.text((x, y), words, "soft")
    picture.arrow((80, 170), (80, 50), (270, 50))
    picture.arrow((140, 170), (140, 140), (640, 140), (640, 112))
    picture.arrow((600, 170), (600, 154), (390, 154), (390, 112), carried=True)
    picture.arrow((945, 170), (945, 66), (800, 66))
    picture.arrow((220, 220), (290, 220))
    picture.arrow((490, 220), (560, 220))
    picture.arrow((780, 220), (850, 220), carried=True)
    return picture.svg()


PICTURES: Final = {"architecture.svg": architecture, "keys.svg": keys}
