"""token.py CMS TOKEN SIGNATURE: takes the time-stamp token and the signature value out of a CMS SignedData.

A plain walk through the DER, so that the token can be judged by a program that knows nothing of CAdES.
"""
import sys

TIME_STAMP_TOKEN = bytes.fromhex("060b2a864886f70d010910020e")  # id-aa-timeStampToken, RFC 3161 appendix A


def element(data, at):
    """Tag, content start and end of the element at `at`."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length >= 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    return tag, start, start + length


def children(data, start, end):
    """(tag, whole start, content start, end) of each element between two places."""
    while start < end:
        tag, content, stop = element(data, start)
        yield tag, start, content, stop
        start = stop


def main(cms_path, token_path, signature_path):
    data = open(cms_path, "rb").read()
    _, start, end = element(data, 0)
    (_, _, _, _), (_, _, explicit, _) = children(data, start, end)
    _, start, end = element(data, explicit)
    signer_infos = list(children(data, start, end))[-1]
    (_, _, start, end), = children(data, signer_infos[2], signer_infos[3])
    parts = list(children(data, start, end))
    signature = next(p for p in parts if p[0] == 0x04)
    unsigned = next(p for p in parts if p[0] == 0xA1)
    for _, _, start, end in children(data, unsigned[2], unsigned[3]):
        (_, oid, _, oid_end), (_, _, value, value_end) = children(data, start, end)
        if data[oid:oid_end] == TIME_STAMP_TOKEN:
            open(token_path, "wb").write(data[value:value_end])
            open(signature_path, "wb").write(data[signature[2] : signature[3]])
            return
    sys.exit(f"{cms_path}: no time-stamp token among the unsigned attributes")


main(*sys.argv[1:])
