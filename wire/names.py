"""Names that travel in the clear: tenant, job, image, key ARN; and how they must look."""

import re
from typing import Final

MAX_TENANT: Final = 32
MAX_ARN: Final = 256

TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
JOB: Final = re.compile(r"[a-z2-7]{16}")
"""10 random bytes in lower-case base32."""
IMAGE: Final = re.compile(r"[0-9a-f]{96}")
"""PCR0, a SHA-384."""
KEY_ARN: Final = re.compile(r"arn:aws[a-z-]{0,16}:kms:[a-z0-9-]{1,32}:[0-9]{12}:key/[A-Za-z0-9-]{1,64}")
"""A full key ARN and never an alias: an alias can be pointed at another key."""
