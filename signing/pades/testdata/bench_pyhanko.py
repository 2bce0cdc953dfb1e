"""Signs PDF files with pyHanko in one process and prints what it took as JSON.

usage: bench_pyhanko.py KEY.pem CERT.pem OUTDIR FILE.pdf ...

Reading the key and importing modules are not counted. Memory is the high-water
mark of the process in kB.
"""

import json
import os
import sys
import time

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers


def main():
    key, certificate, out = sys.argv[1:4]
    signer = signers.SimpleSigner.load(key, certificate)
    began, used = time.perf_counter(), time.process_time()
    for path in sys.argv[4:]:
        metadata = signers.PdfSignatureMetadata(
            field_name="Signature1",
            md_algorithm="sha256",
            subfilter=fields.SigSeedSubFilter.PADES,
        )
        target = os.path.join(out, os.path.basename(path))
        with open(path, "rb") as source, open(target, "w+b") as output:
            writer = IncrementalPdfFileWriter(source)
            signers.PdfSigner(metadata, signer=signer).sign_pdf(writer, output=output)
    took, used = time.perf_counter() - began, time.process_time() - used
    with open("/proc/self/status") as status:
        peak = next(int(l.split()[1]) for l in status if l.startswith("VmHWM"))
    json.dump({"Seconds": took, "CPU": used, "PeakKB": peak}, sys.stdout)


main()
