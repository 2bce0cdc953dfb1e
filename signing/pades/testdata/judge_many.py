"""Reads signed PDFs with pyHanko and prints one JSON object a line.

usage: judge_many.py < LIST, one path a line

Certificates are not judged: the question is whether pyHanko reads the file, finds
the signatures whole, and what it says came after each.
"""

import asyncio
import json
import logging
import os
import signal
import sys

from pyhanko.pdf_utils.crypt import AuthStatus
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

logging.disable(logging.CRITICAL)


class TookTooLong(Exception):
    pass


def stop(*_):
    raise TookTooLong()


def judge(path):
    with open(path, "rb") as f:
        reader = PdfFileReader(f, strict=False)
        if reader.encrypted:
            for password in [""] + os.environ.get("EIDBRIDGE_PDF_PASSWORDS", "").split(","):
                if reader.decrypt(password).status != AuthStatus.FAILED:
                    break
        found = []
        for signature in reader.embedded_signatures:
            entry = {"field": signature.field_name}
            try:
                # Without anchors: digest and value are judged, nobody is trusted.
                status = asyncio.run(
                    async_validate_pdf_signature(
                        signature,
                        signer_validation_context=ValidationContext(
                            trust_roots=[], allow_fetching=False
                        ),
                    )
                )
                diff = signature.diff_result
                entry["coverage"] = status.coverage.name
                entry["intact"] = status.intact
                entry["valid"] = status.valid
                entry["modification"] = (
                    "NONE" if diff is None
                    else "OTHER" if isinstance(diff, Exception)
                    else diff.modification_level.name
                )
            except TookTooLong:
                raise
            except Exception as e:  # a judge reports what it cannot judge
                entry["error"] = f"{type(e).__name__}: {e}"[:200]
            found.append(entry)
        return found


signal.signal(signal.SIGALRM, stop)
for line in sys.stdin:
    path = line.rstrip("\n")
    signal.alarm(60)
    try:
        out = {"path": path, "signatures": judge(path)}
    except BaseException as e:
        out = {"path": path, "error": f"{type(e).__name__}: {e}"[:200]}
    signal.alarm(0)
    print(json.dumps(out), flush=True)
