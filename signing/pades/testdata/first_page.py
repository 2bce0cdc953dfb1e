"""Reads PDFs with pyHanko and prints one JSON object a line: how many pages and
signatures there are, which object the first page is, and all objects, in the form of
"qpdf --json" with every string as bytes.

usage: first_page.py FILE...
"""

import base64
import json
import sys

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader


def plain(o):
    if isinstance(o, generic.IndirectObject):
        return f"{o.idnum} {o.generation} R"
    if isinstance(o, generic.NullObject) or o is None:
        return None
    if isinstance(o, generic.BooleanObject):
        return bool(o)
    if isinstance(o, generic.NumberObject):
        return int(o)
    if isinstance(o, generic.FloatObject):
        return float(o)
    if isinstance(o, generic.NameObject):
        return str(o)
    if isinstance(o, (generic.TextStringObject, generic.ByteStringObject)):
        return "b:" + o.original_bytes.hex()
    if isinstance(o, generic.ArrayObject):
        return [plain(x) for x in list(o)]
    if isinstance(o, generic.DictionaryObject):
        return {str(k): plain(v) for k, v in dict.items(o)}
    raise ValueError(type(o))


def whole(o):
    if isinstance(o, generic.StreamObject):
        return {"stream": {"dict": plain(o), "data": base64.b64encode(o.encoded_data).decode()}}
    return {"value": plain(o)}


def pages(node, found):
    if node.get_object()["/Type"] == "/Page":
        found.append(f"{node.idnum} {node.generation} R")
        return
    for kid in list(node.get_object()["/Kids"]):
        pages(kid, found)


for path in sys.argv[1:]:
    with open(path, "rb") as f:
        reader = PdfFileReader(f, strict=False)
        found = []
        pages(reader.root.raw_get("/Pages"), found)
        objects = {}
        for number in range(1, int(reader.trailer["/Size"])):
            for generation in (0,):
                try:
                    o = reader.get_object(generic.Reference(number, generation, reader))
                except Exception:
                    continue
                objects[f"obj:{number} {generation} R"] = whole(o)
        out = {
            "pages": len(found),
            "first": found[0],
            "signatures": len(reader.embedded_signatures),
            "objects": objects,
        }
    print(json.dumps(out), flush=True)
